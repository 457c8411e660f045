//! What an encoder is asked for, so that a quality looks alike in every format: our JPEG's is the measure. The tables of the formats
//! were fitted to SSIMULACRA2 in the mean of photographs (`tests/bench/README.md`).

/// The setting for a quality of 1 to 100: in a straight line between the two of the table that it stands between.
pub(crate) fn setting(table: &[(u8, f32)], quality: u8) -> f32 {
    let next = table.iter().position(|(known, _)| *known >= quality).unwrap_or(table.len() - 1);
    let ((low, from), (high, to)) = (table[next.saturating_sub(1)], table[next]);
    let part = f32::from(quality.saturating_sub(low)) / f32::from(high - low).max(1.0);
    from + (to - from) * part.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_the_tables_or_between() {
        let table = [(1, 20.0), (40, 57.0), (100, 100.0)];
        for (quality, wanted) in [(1, 20.0), (40, 57.0), (100, 100.0), (70, 78.5)] {
            assert!((setting(&table, quality) - wanted).abs() < 1e-3, "{quality}");
        }
    }
}
