//! `imgserve plugin check` of a codec: files that it has written itself, or a sample, whole, cut and damaged, and garbage.

use bytes::Bytes;
use imgserve_base::format::Format;
use imgserve_sdk::codec::{self, Description};
use serde_json::{Map, Value};

use super::{SHAPES, Verdict, damaged, picture, say};
use crate::cli::failure::Failure;
use crate::cli::plugin::lab::{Lab, Trial, is_plugins_mistake};

/// Tells what a codec says of itself.
pub(super) fn describe(description: &Description) {
    let Description { name, version, summary, formats } = description;
    say("codec", &format!("{name} {version}: {summary}"));
    for codec::Format { name, media_types, extensions, magic, written } in formats {
        let count = magic.len();
        say(
            "reads",
            &format!("{name}: {} (.{}), {count} magics", media_types.join(", "), extensions.join(", .")),
        );
        if let Some(codec::Written { pixels, lossy, max_side }) = written {
            let pixels: Vec<String> =
                pixels.iter().map(|pixels| format!("{pixels:?}").to_lowercase()).collect();
            let loss = if *lossy { "with a loss" } else { "without loss" };
            say("writes", &format!("{name}: {}, {loss}, up to {max_side} pixels a side", pixels.join(", ")));
        }
    }
}

/// Tries a codec on files of each of its formats.
pub(super) fn try_all(
    lab: &Lab,
    description: &Description,
    (sample, args): (Option<Vec<u8>>, &[Map<String, Value>]),
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let mut samples: Vec<(String, Vec<u8>)> = Vec::new();
    samples.extend(sample.map(|bytes| (String::new(), bytes)));
    for told in &description.formats {
        if let (Some(written), Some(format)) = (&told.written, Format::from_name(&told.name)) {
            let files = write(lab, format, written, verdict)?;
            samples.extend(files.into_iter().map(|file| (told.name.clone(), file)));
        }
    }
    for (extension, whole) in &samples {
        for args in args {
            verdict.trial(lab, "a file", &as_png(whole.clone().into(), extension, args));
        }
    }
    for told in &description.formats {
        let own = samples.iter().find(|(extension, _)| *extension == told.name).or(samples.first());
        let mut files = damaged(own.map(|(_, whole)| whole.as_slice()).unwrap_or_default());
        // Garbage that is taken for a file of the format.
        for magic in &told.magic {
            let mut bytes: Vec<u8> =
                (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
            bytes[magic.offset as usize..][..magic.bytes.len()].copy_from_slice(&magic.bytes);
            files.push(("noise behind a magic".to_owned(), bytes));
        }
        for (what, bytes) in files {
            verdict.trial(lab, &what, &as_png(bytes.into(), &told.name, &Map::new()));
        }
    }
    Ok(())
}

fn as_png(source: Bytes, extension: &str, args: &Map<String, Value>) -> Trial {
    Trial { source, extension: extension.to_owned(), args: args.clone(), format: Some(Format::Png) }
}

/// Has pictures of all shapes, in each pixel format that is taken, written and read again: each must be of the size that it was.
fn write(
    lab: &Lab,
    format: Format,
    written: &codec::Written,
    verdict: &mut Verdict,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut files = Vec::new();
    let shapes = SHAPES.iter().filter(|(width, height)| *width.max(height) <= written.max_side);
    for (&(width, height), &pixels) in
        shapes.flat_map(|shape| written.pixels.iter().map(move |pixels| (shape, pixels)))
    {
        let (what, source, extension) = picture(width, height, pixels)?;
        let trial = Trial { source, extension, args: Map::new(), format: Some(format) };
        let made = match lab.attempt(&trial) {
            Ok(made) => made.outcome.bytes.to_vec(),
            Err(fault) if is_plugins_mistake(&fault) => {
                verdict.mistake(&format!("{what} as {format}: {}", super::said(&fault)));
                continue;
            }
            Err(_) => {
                verdict.refused += 1;
                continue;
            }
        };
        match lab.attempt(&as_png(made.clone().into(), format.extensions()[0], &Map::new())) {
            Ok(read) if (read.prepared.width, read.prepared.height) == (width, height) => verdict.done += 1,
            Ok(read) => {
                let (width, height) = (read.prepared.width, read.prepared.height);
                verdict.mistake(&format!("{what} as {format}: it is {width}x{height} when it is read"));
            }
            Err(fault) => verdict.mistake(&format!("{what} as {format}: it cannot be read: {fault}")),
        }
        files.push(made);
    }
    // A small one of several pixels is damaged; the large ones have been read.
    files.sort_by_key(|file| file.len().abs_diff(2000));
    files.truncate(1);
    Ok(files)
}
