//! A cheap look that spares the compressor bytes without pattern.

/// How much of a blob is looked at.
const PIECE: usize = 4096;
const PIECES: usize = 4;

/// Whether `bytes` look like noise: a few pieces have a flat histogram at even and at odd places alike, so that
/// 16-bit floats, whose exponents stand in every second byte, are not taken for it. Repetition over long distances is not looked for.
pub fn looks_incompressible(bytes: &[u8]) -> bool {
    if bytes.len() < PIECE * PIECES {
        return false;
    }
    let stride = (bytes.len() - PIECE) / (PIECES - 1);
    let mut counts = [[0u32; 256]; 2];
    for piece in 0..PIECES {
        let piece = &bytes[piece * stride..piece * stride + PIECE];
        for pair in piece.chunks_exact(2) {
            counts[0][pair[0] as usize] += 1;
            counts[1][pair[1] as usize] += 1;
        }
    }
    counts.iter().all(flat)
}

/// Chi-square against the flat distribution: its mean is 255 with a deviation of 23 for noise; text and numbers give thousands.
fn flat(counts: &[u32; 256]) -> bool {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / 256.0;
    let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    chi < 400.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_told_from_text_and_from_numbers() {
        let mut noise = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert!(looks_incompressible(&noise));
        let bf16: Vec<u8> = noise.iter().enumerate().map(|(i, b)| if i % 2 == 1 { 0x3c | b & 3 } else { *b }).collect();
        assert!(!looks_incompressible(&bf16));
        assert!(!looks_incompressible(&b"text ".repeat(10_000)));
        assert!(!looks_incompressible(&noise[..100]));
    }
}
