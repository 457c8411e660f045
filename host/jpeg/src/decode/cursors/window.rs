//! A window of the data, decoded by three cursors in turns until each has met the one after it.

use std::ops::Range;

use fearless_simd::Simd;

use super::cursor::{Cursor, Desk, Job};
use super::part::Part;

/// Cursors. More would not find registers to live in.
pub(super) const CURSORS: usize = 3;
/// How often a cursor's blocks are taken beyond the place where the next has begun, without meeting it: some 128 MCUs of a
/// photograph, whose cursors were all in step after 24 in a thousand places that were tried.
const BEYOND: usize = 16;
/// Values that a part may have, as a bound of its memory: some four times those of a photograph's largest window.
const MOST_VALUES: usize = 1 << 18;
/// Data that repeats itself after up to so many MCUs lets no cursor fall into step: any MCU looks like any other.
const PERIODS: usize = 4;
/// Over so many MCUs it must do so.
const REPEATED: usize = 12;
/// Bits that the first cursor decodes alone when the next has fallen into such data: it is slow, but may come out of it.
const ALONE: u32 = 8 * 2000;

/// What has become of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Of each part the MCUs that follow those of the one before it: one after the other they are the picture's.
    pub(super) pieces: [Range<usize>; CURSORS],
    /// The bit where the MCU after them begins.
    pub(super) end: usize,
    /// Whether all cursors have met, so that none has worked in vain.
    pub(super) met: bool,
}

/// Decodes from the bit on where the first part has begun, until all have met or it shows that they do not. `wanted`: MCUs that
/// are of any use.
pub(super) fn run<S: Simd>(
    simd: S,
    job: &Job<'_>,
    (desk, parts): (&mut Desk, &mut [Part; CURSORS]),
    wanted: usize,
) -> Outcome {
    let mut joints = [Joint::default(); CURSORS - 1];
    while parts[..CURSORS - 1].iter().any(|part| !part.done) {
        in_turns(simd, job, desk, parts);
        for index in (0..CURSORS).rev() {
            settle(simd, job, (desk, index), &mut parts[index..], joints.get_mut(index));
        }
        let first = &parts[0];
        let is_alone = parts[1].repeats && joints[0].found.is_none();
        if first.corrupt > 0 || first.begins.len() >= wanted || is_alone && first.end > ALONE {
            parts.iter_mut().for_each(|part| part.done = true);
        }
    }
    let bits = desk.bits;
    let running = |part: &Part| !part.done && part.cursor.at <= bits;
    for (part, found) in parts.iter_mut().zip(&mut desk.found).filter(|(part, _)| running(part)) {
        part.take(simd, job, found);
    }
    chained(parts, joints.map(|joint| joint.found))
}

/// Steps in turns until one has as many blocks as are taken at a time.
#[inline(never)]
fn in_turns<S: Simd>(simd: S, job: &Job<'_>, desk: &mut Desk, parts: &mut [Part; CURSORS]) {
    let mut running = parts.iter_mut().enumerate().filter(|(_, part)| !part.done);
    match (running.next(), running.next(), running.next()) {
        (Some((_, a)), Some((_, b)), Some((_, c))) => simd.vectorize(
            #[inline(always)]
            || three(job, desk, [&mut a.cursor, &mut b.cursor, &mut c.cursor]),
        ),
        (Some((one, a)), Some((other, b)), None) => simd.vectorize(
            #[inline(always)]
            || two(job, desk, [(one, &mut a.cursor), (other, &mut b.cursor)]),
        ),
        (Some((one, a)), ..) => simd.vectorize(
            #[inline(always)]
            || alone(job, desk, one, &mut a.cursor),
        ),
        _ => {}
    }
}

// Cursors must be variables of their own, and each loop a function of its own, for them to live in registers.

#[inline(always)]
fn three(job: &Job<'_>, desk: &mut Desk, [a, b, c]: [&mut Cursor; 3]) {
    let full = job.scheme.empty.len();
    let (mut x, mut y, mut z) = (*a, *b, *c);
    while x.record < full && y.record < full && z.record < full {
        x.step(job, desk, 0);
        y.step(job, desk, 1);
        z.step(job, desk, 2);
    }
    (*a, *b, *c) = (x, y, z);
}

#[inline(always)]
fn two(job: &Job<'_>, desk: &mut Desk, [(one, a), (other, b)]: [(usize, &mut Cursor); 2]) {
    let full = job.scheme.empty.len();
    let (mut x, mut y) = (*a, *b);
    while x.record < full && y.record < full {
        x.step(job, desk, one);
        y.step(job, desk, other);
    }
    (*a, *b) = (x, y);
}

#[inline(always)]
fn alone(job: &Job<'_>, desk: &mut Desk, one: usize, a: &mut Cursor) {
    let full = job.scheme.empty.len();
    let mut x = *a;
    while x.record < full {
        x.step(job, desk, one);
    }
    *a = x;
}

/// Takes what the first of these parts has, if it has enough, and looks whether it has met the next.
fn settle<S: Simd>(
    simd: S,
    job: &Job<'_>,
    (desk, index): (&mut Desk, usize),
    parts: &mut [Part],
    joint: Option<&mut Joint>,
) {
    let Some((part, later)) = parts.split_first_mut() else { return };
    if part.done || part.cursor.record < job.scheme.empty.len() {
        return;
    }
    if part.cursor.at > desk.bits {
        part.done = true;
    } else {
        part.take(simd, job, &mut desk.found[index]);
        // Later the same may be a white sky, in which it has long been in step.
        part.repeats |= part.begins.len() <= 2 * (PERIODS + REPEATED) && repeats(&part.begins);
        part.done = part.values.len() >= MOST_VALUES || part.repeats && index > 0;
    }
    let (Some(next), Some(joint)) = (later.first(), joint) else { return };
    joint.look(&part.begins, &next.begins);
    part.done |=
        joint.found.is_some() || is_vain(part, next, BEYOND * job.scheme.empty.len() / job.scheme.length);
    if part.done && joint.found.is_none() {
        later.iter_mut().for_each(|part| part.done = true);
    }
}

/// Whether a part will not meet the next any more.
fn is_vain(part: &Part, next: &Part, beyond: usize) -> bool {
    let past = |bit: Option<&u32>| {
        part.begins.iter().rev().take_while(|own| bit.is_none_or(|bit| *own > bit)).count()
    };
    (next.done && past(next.begins.last()) > 0)
        || (!next.begins.is_empty() && past(next.begins.first()) > beyond)
}

/// Whether the lengths of the last MCUs repeat themselves.
fn repeats(begins: &[u32]) -> bool {
    let Some(begins) = begins.get(begins.len().saturating_sub(PERIODS + REPEATED + 1)..) else {
        return false;
    };
    let lengths: Vec<u32> = begins.windows(2).map(|pair| pair[1] - pair[0]).collect();
    lengths.len() == PERIODS + REPEATED
        && (1..=PERIODS).any(|period| lengths[PERIODS..] == lengths[PERIODS - period..lengths.len() - period])
}

/// The search for an MCU that begins at the same bit in a part and in the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Joint {
    /// How many MCUs of each were looked at.
    seen: (usize, usize),
    /// The first such MCU, by its number in each.
    found: Option<(usize, usize)>,
}

impl Joint {
    /// Goes on with what the parts have now.
    fn look(&mut self, own: &[u32], next: &[u32]) {
        while self.found.is_none()
            && let (Some(a), Some(b)) = (own.get(self.seen.0), next.get(self.seen.1))
        {
            self.found = (a == b).then_some(self.seen);
            self.seen.0 += usize::from(a < b);
            self.seen.1 += usize::from(a > b);
        }
    }
}

/// The pieces that are right: of the first part all, of another what comes after its joint with one that is right, and nothing of
/// a part in which something is corrupt there.
fn chained(parts: &[Part; CURSORS], joints: [Option<(usize, usize)>; CURSORS - 1]) -> Outcome {
    let first = &parts[0];
    let end = first.begins.first().map_or(first.end, |bit| *bit) as usize;
    let mut outcome = Outcome { pieces: [0..0, 0..0, 0..0], end, met: false };
    let mut from = 0;
    for (index, part) in parts.iter().enumerate() {
        if part.corrupt > from {
            break;
        }
        outcome.met = index + 1 == CURSORS;
        let Some((own, next)) = joints.get(index).and_then(|joint| later(*joint, from, &parts[index + 1]))
        else {
            outcome.pieces[index] = from..part.begins.len();
            outcome.end = part.end as usize;
            break;
        };
        outcome.pieces[index] = from..own;
        (outcome.end, from) = (part.begins[own] as usize, next);
    }
    outcome
}

/// A joint that is not before MCU `from` of a part: two that have met before it was known whether the first is right go the
/// same way from there on.
fn later(joint: Option<(usize, usize)>, from: usize, next: &Part) -> Option<(usize, usize)> {
    let (own, number) = joint?;
    let behind = from.saturating_sub(own);
    (number + behind < next.begins.len()).then_some((own + behind, number + behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with MCUs at these bits; the next one would begin ten bits after the last.
    fn part(begins: &[u32]) -> Part {
        Part { begins: begins.to_vec(), end: begins.last().map_or(0, |last| last + 10), ..Part::default() }
    }

    fn outcome(parts: &[Part; CURSORS]) -> Outcome {
        let joint = |index: usize| {
            let mut joint = Joint::default();
            // It is gone on with as MCUs come.
            for length in [2, 3, 100] {
                let own = &parts[index].begins;
                joint.look(&own[..own.len().min(length)], &parts[index + 1].begins);
            }
            joint.found
        };
        chained(parts, [joint(0), joint(1)])
    }

    #[test]
    fn pieces_begin_at_joints() {
        let parts = [part(&[0, 10, 20, 30, 40]), part(&[25, 30, 40, 50, 60]), part(&[47, 55, 60, 70])];
        let all = Outcome { pieces: [0..3, 1..4, 2..4], end: 80, met: true };
        assert_eq!(outcome(&parts), all);
        // A part that is met nowhere ends the way, and so does one that has not been met.
        let [a, b, _] = parts;
        let parts = [a, b, part(&[48, 58, 68])];
        let two = Outcome { pieces: [0..3, 1..5, 0..0], end: 70, met: false };
        assert_eq!(outcome(&parts), two);
        let [a, _, c] = parts;
        let one = Outcome { pieces: [0..5, 0..0, 0..0], end: 50, met: false };
        assert_eq!(outcome(&[a, part(&[25, 35, 45]), c]), one);
    }

    #[test]
    fn a_joint_before_it_is_known_whether_a_part_is_right_holds_later_too() {
        // The second and the third meet at 36, and the first meets the second only at 50.
        let parts = [part(&[0, 25, 50, 75]), part(&[30, 36, 43, 50, 57]), part(&[36, 43, 50, 57, 64])];
        assert_eq!(outcome(&parts), Outcome { pieces: [0..2, 3..3, 2..5], end: 74, met: true });
        let [a, b, _] = parts;
        let parts = [a, b, part(&[36, 43])];
        assert_eq!(outcome(&parts), Outcome { pieces: [0..2, 3..5, 0..0], end: 67, met: false });
    }

    #[test]
    fn nothing_is_taken_of_a_part_that_is_corrupt_from_its_joint_on() {
        let mut parts = [part(&[0, 10, 20, 30, 40]), part(&[25, 30, 40, 50, 60]), part(&[47, 55, 60, 70])];
        parts[1].corrupt = 1;
        parts[2].corrupt = 2;
        assert!(outcome(&parts).met, "before the joint it does not matter");
        parts[2].corrupt = 3;
        assert_eq!(outcome(&parts), Outcome { pieces: [0..3, 1..4, 0..0], end: 60, met: false });
        parts[1].corrupt = 2;
        assert_eq!(outcome(&parts), Outcome { pieces: [0..3, 0..0, 0..0], end: 30, met: false });
        parts[0].corrupt = 1;
        assert_eq!(outcome(&parts), Outcome { pieces: [0..0, 0..0, 0..0], end: 0, met: false });
    }

    #[test]
    fn lengths_that_repeat_themselves_are_noticed() {
        let begins = |lengths: &[u32], count: usize| -> Vec<u32> {
            let all = lengths.iter().cycle().take(count);
            all.scan(7, |at, length| {
                *at += length;
                Some(*at)
            })
            .collect()
        };
        for lengths in [&[300][..], &[300, 310], &[5, 6, 7], &[90, 80, 90, 70]] {
            assert!(repeats(&begins(lengths, 17)), "{lengths:?}");
            assert!(!repeats(&begins(lengths, 16)), "too few to tell");
        }
        assert!(!repeats(&begins(&[1, 2, 3, 4, 5], 17)));
        assert!(!repeats(&[begins(&[300], 16), vec![9999]].concat()));
    }
}
