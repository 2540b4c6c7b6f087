"""The codec steps of blobs, by their codes (spec/CODECS.md). A codec is one function in the table at the end."""

from collections.abc import Callable

import zstandard

PIECE = 1024  # bytes fed at a time: a piece cannot expand to more than a few MiB, so a lying frame is noticed soon
LARGEST_WINDOW = 1 << 27


class Undecodable(Exception):
    """The bytes are not what this codec writes."""


def zstd_frame(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 1: one zstd frame. It has no parameters and refers to no bases."""
    if parameters:
        raise Undecodable("zstd with parameters")
    decoder = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()
    plain = bytearray()
    try:
        for at in range(0, len(data), PIECE):
            plain += decoder.decompress(data[at : at + PIECE])
            if len(plain) > length:
                raise Undecodable(f"zstd frame of more than {length} bytes")
    except zstandard.ZstdError as error:
        raise Undecodable(f"zstd: {error}") from error
    if not decoder.eof or decoder.unused_data:
        raise Undecodable("not exactly one zstd frame")
    return bytes(plain)


# code: (encoded bytes, length of the step's input, parameters, bytes of the bases) -> the step's input
DECODERS: dict[int, Callable[[bytes, int, bytes, bytes], bytes]] = {
    1: zstd_frame,
}
