"""The codec steps of blobs, by their codes (spec/CODECS.md). A codec is one function in the table at the end."""

from collections.abc import Callable

import zstandard

import snapconvert
import snapedits
import snapnumbers
from snapnumbers import Undecodable

PIECE = 1024  # bytes fed at a time: a piece cannot expand to more than a few MiB, so a lying frame is noticed soon
LARGEST_WINDOW = 1 << 27


def zstd_frame(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 1: one zstd frame."""
    return one_frame(zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW), data, length, parameters)


def zstd_prefix(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 2: one zstd frame that refers to the bases as if they stood before it."""
    prefix = zstandard.ZstdCompressionDict(bases, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    decompressor = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=LARGEST_WINDOW)
    return one_frame(decompressor, data, length, parameters)


def planes(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 3: planes of numbers."""
    return snapnumbers.decode_planes(element(parameters), data, length)


def difference(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 4: differences of numbers from those of the bases, which may be of another kind."""
    if len(parameters) == 2:
        bases = snapconvert.convert(parameters[1], parameters[0], bases, length)
        parameters = parameters[:1]
    return snapnumbers.decode_difference(element(parameters), data, length, bases)


def trend(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 5: differences of numbers from those of the first half of the bases, given those of the second half."""
    if len(bases) != 2 * length:
        raise Undecodable("bases of another length")
    return snapnumbers.decode_difference(element(parameters), data, length, bases[:length], bases[length:])


def edits(data: bytes, length: int, parameters: bytes, bases: bytes) -> bytes:
    """Step 6: ranges of the bases, and literals between them."""
    if parameters:
        raise Undecodable("edits with parameters")
    script, count, form, rest = snapedits.parts(data, length)
    if form > 1 or (form == 0 and len(rest) != count):
        raise Undecodable("edits with other literals")
    return snapedits.follow(script, zstd_frame(rest, count, b"", b"") if form else rest, length, bases)


def one_frame(decompressor: zstandard.ZstdDecompressor, data: bytes, length: int, parameters: bytes) -> bytes:
    if parameters:
        raise Undecodable("zstd with parameters")
    decoder, plain = decompressor.decompressobj(), bytearray()
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


def element(parameters: bytes) -> snapnumbers.Element:
    """The only parameter of a codec of numbers: what numbers they are."""
    if len(parameters) != 1 or parameters[0] not in snapnumbers.ELEMENTS:
        raise Undecodable("numbers of unknown kind")
    return snapnumbers.ELEMENTS[parameters[0]]


# code: (encoded bytes, length of the step's input, parameters, bytes of the bases) -> the step's input
DECODERS: dict[int, Callable[[bytes, int, bytes, bytes], bytes]] = {
    1: zstd_frame,
    2: zstd_prefix,
    3: planes,
    4: difference,
    5: trend,
    6: edits,
}
