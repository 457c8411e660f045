//! The transfer function of sRGB (IEC 61966-2-1): from a channel's value to the amount of light that it stands for, 0 to 1, and
//! back. 8-bit values become light by a polynomial, sixteen at once; all else is looked up in tables, made when the first of
//! their kind is needed.

use std::sync::LazyLock;

use fearless_simd::{f32x16, i32x16, prelude::*};

use super::LANES;

/// Steps of light told apart on the way back to 8 bits: five for each step of the darkest values, where they lie densest.
const STEPS: usize = 1 << 14;

static VALUE8: LazyLock<Box<[u8; STEPS]>> =
    LazyLock::new(|| table(|step| (value(step as f64 / (STEPS - 1) as f64) * 255.0).round() as u8));
static LIGHT16: LazyLock<Box<[f32; 1 << 16]>> =
    LazyLock::new(|| table(|value| light(value as f64 / 65_535.0) as f32));
/// What lies between two steps is interpolated, so there is one entry more, and another for the end itself.
static VALUE16: LazyLock<Box<[f32; STEPS + 2]>> =
    LazyLock::new(|| table(|step| (value(step as f64 / STEPS as f64) * 65_535.0) as f32));

fn table<T: std::fmt::Debug, const N: usize>(entry: impl Fn(usize) -> T) -> Box<[T; N]> {
    let entries: Vec<T> = (0..N).map(entry).collect();
    entries.try_into().expect("a table has as many entries as its type says")
}

/// The light of a value, both 0 to 1.
pub(super) fn light(value: f64) -> f64 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// The value that stands for an amount of light, both 0 to 1.
pub(super) fn value(light: f64) -> f64 {
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// The light of 8-bit values. Above the straight part by a polynomial, fitted so that its largest error is smallest: 0.004
/// steps of the value.
#[inline(always)]
pub(super) fn light8<S: Simd>(simd: S, values: [u8; LANES]) -> f32x16<S> {
    const CURVE: [f32; 7] = [
        -0.085_400_33,
        0.316_759_05,
        -0.533_802_15,
        0.768_067_36,
        0.499_071_6,
        0.034_399_822,
        0.000_875_147_75,
    ];
    // Loops, here and below: what closures and iterators do with vectors is not compiled for the processor's level.
    let mut numbers = [0.0; LANES];
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = f32::from(value);
    }
    let x = f32x16::from_slice(simd, &numbers) * f32x16::splat(simd, 1.0 / 255.0);
    let mut curve = f32x16::splat(simd, CURVE[0]);
    for factor in &CURVE[1..] {
        curve = curve.mul_add(x, f32x16::splat(simd, *factor));
    }
    let straight = x * f32x16::splat(simd, 1.0 / 12.92);
    x.simd_le(f32x16::splat(simd, 0.04045)).select(straight, curve)
}

/// Light to 8-bit values; what is out of range is brought into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values8(&'static [u8; STEPS]);

impl Values8 {
    pub(super) fn new() -> Self {
        Self(&VALUE8)
    }

    #[inline(always)]
    pub(super) fn of<S: Simd>(self, light: f32x16<S>) -> [u8; LANES] {
        let (none, all) = (f32x16::splat(light.simd, 0.0), f32x16::splat(light.simd, 1.0));
        let (steps, half) = (f32x16::splat(light.simd, (STEPS - 1) as f32), f32x16::splat(light.simd, 0.5));
        let steps: i32x16<S> = light.max(none).min(all).mul_add(steps, half).to_int();
        let steps: [i32; LANES] = steps.into();
        let mut values = [0; LANES];
        for (value, step) in values.iter_mut().zip(steps) {
            *value = self.0[step as usize & (STEPS - 1)];
        }
        values
    }
}

/// 16-bit values to light.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light16(&'static [f32; 1 << 16]);

impl Light16 {
    pub(super) fn new() -> Self {
        Self(&LIGHT16)
    }

    #[inline(always)]
    pub(super) fn of(self, value: u16) -> f32 {
        self.0[usize::from(value)]
    }
}

/// Light to 16-bit values; what is out of range is brought into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values16(&'static [f32; STEPS + 2]);

impl Values16 {
    pub(super) fn new() -> Self {
        Self(&VALUE16)
    }

    #[inline(always)]
    pub(super) fn of(self, light: f32) -> u16 {
        let step = light.clamp(0.0, 1.0) * STEPS as f32;
        let below = (step as usize).min(STEPS);
        let (low, high) = (self.0[below], self.0[below + 1]);
        (low + (high - low) * (step - below as f32) + 0.5) as u16
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn the_transfer_function_is_the_standards_and_its_own_inverse() {
        assert!((light(0.5) - 0.214_041_14).abs() < 1e-8 && light(1.0) == 1.0 && light(0.0) == 0.0);
        for step in 0..=10_000 {
            let step = f64::from(step) / 10_000.0;
            assert!((value(light(step)) - step).abs() < 1e-6);
        }
    }

    #[test]
    fn every_value_comes_back_and_is_right() {
        let (light16, values16, values8) = (Light16::new(), Values16::new(), Values8::new());
        for value in 0..=255_u8 {
            let (lights, back) = dispatch!(Level::new(), simd => {
                let lights = light8(simd, [value; LANES]);
                let array: [f32; LANES] = lights.into();
                (array, values8.of(lights))
            });
            assert_eq!(back, [value; LANES]);
            let (exact, next) = (light(f64::from(value) / 255.0), light((f64::from(value) + 1.0) / 255.0));
            assert!(
                (f64::from(lights[0]) - exact).abs() < 0.005 * (next - exact),
                "{value}: {} {exact}",
                lights[0]
            );
        }
        for value in 0..=65_535_u16 {
            assert_eq!(values16.of(light16.of(value)), value);
        }
    }

    #[test]
    fn light_out_of_range_is_brought_into_it() {
        let values = |number: f32| {
            let eight = dispatch!(Level::new(), simd => Values8::new().of(f32x16::splat(simd, number)));
            (eight[7], Values16::new().of(number))
        };
        assert_eq!((values(-0.5), values(1.5)), ((0, 0), (255, 65_535)));
    }
}
