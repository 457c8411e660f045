//! What an AVIF says beside its pixels: EXIF and XMP as items that describe the primary picture, the profile as its property. Written
//! into a file of one picture as our encoder makes it, whose boxes are all made anew around the same data.

use imgserve_base::format::Format;

use super::boxes::{Parts, boxed};
use super::file::Colors;
use super::meta::Meta;
use crate::beside::{Beside, Holder, Profiles};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: false, profiles: Profiles::Rgb };

/// Of so many items of a kind the first is looked for.
const MAX_ITEMS: usize = 8;
/// The media type of XMP.
const XMP: &[u8] = b"application/rdf+xml\0";

fn read(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    let Some(meta) = Parts(bytes).find(b"meta").and_then(|meta| Meta::read(meta, bytes).ok()) else {
        return beside;
    };
    let items = |kind: &'static [u8; 4]| {
        let found =
            meta.items().into_iter().filter(|item| meta.kind(*item).as_ref() == Some(kind)).take(MAX_ITEMS);
        let found: Vec<_> = found.filter_map(|item| meta.bytes(item).ok()).collect();
        found.into_iter().filter(|(_, whole)| *whole).map(|(bytes, _)| bytes)
    };
    if let Some(block) = items(b"Exif").next() {
        // Before it stands how far behind that it begins.
        let start = block.first_chunk().map_or(0, |start| u32::from_be_bytes(*start)) as usize;
        beside.put_exif(block.get(start.saturating_add(4)..).unwrap_or_default());
    }
    if let Some(packet) = items(b"mime").find(|bytes| bytes.windows(7).any(|mark| mark == b"rdf:RDF")) {
        beside.put_xmp(&packet);
    }
    if let Some(profile) = meta.properties(meta.primary).ok().and_then(|own| Colors::of(&own).profile) {
        beside.put_profile(profile);
    }
    beside
}

/// An item of the new file.
struct Item {
    id: u16,
    /// Its entry's kind, and what follows its name.
    kind: [u8; 4],
    more: &'static [u8],
    data: Vec<u8>,
}

fn write(file: Vec<u8>, beside: &Beside) -> Result<Vec<u8>, CodecError> {
    let content = Parts(&file).find(b"meta").ok_or_else(odd)?;
    let meta = Meta::read(content, &file)?;
    let inner = Parts(content.get(4..).ok_or_else(odd)?);
    let find = |kind: &[u8; 4]| inner.find(kind).ok_or_else(odd);
    let primary = u16::try_from(meta.primary).map_err(|_| odd())?;
    let mut items = Vec::new();
    for item in meta.items() {
        let (kind, id) = (meta.kind(item).ok_or_else(odd)?, u16::try_from(item).map_err(|_| odd())?);
        items.push(Item { id, kind, more: &[], data: meta.bytes(item)?.0.into_owned() });
    }
    let pictures: Vec<u16> = items.iter().map(|item| item.id).collect();
    let mut references =
        inner.find(b"iref").map_or(Vec::new(), |own| own.get(4..).unwrap_or_default().to_vec());
    let mut describe = |kind: &[u8; 4], more, data: Vec<u8>| {
        let id = items.iter().map(|item| item.id).max().unwrap_or(0) + 1;
        items.push(Item { id, kind: *kind, more, data });
        references.extend(boxed(b"cdsc", &[&id.to_be_bytes(), &[0, 1], &primary.to_be_bytes()]));
    };
    if let Some(block) = &beside.exif {
        describe(b"Exif", &[], [&[0; 4][..], &block[..]].concat());
    }
    if let Some(packet) = &beside.xmp {
        describe(b"mime", XMP, packet.clone());
    }
    let properties = properties(&meta, find(b"iprp")?, (primary, &pictures), beside.profile.as_deref())?;
    let start = Parts(&file).next().filter(|part| part.kind == *b"ftyp").ok_or_else(odd)?;
    let start = boxed(b"ftyp", &[start.data]);
    let (handler, main) = (boxed(b"hdlr", &[find(b"hdlr")?]), boxed(b"pitm", &[find(b"pitm")?]));
    let meta = |from: u32| {
        let (places, infos) = (places(&items, from), infos(&items));
        let references =
            if references.is_empty() { Vec::new() } else { boxed(b"iref", &[&[0; 4], &references]) };
        boxed(b"meta", &[&[0; 4], &handler, &main, &places, &infos, &references, &properties])
    };
    // As long wherever the data begins.
    let from = start.len() + meta(0).len() + 8;
    let data: Vec<&[u8]> = items.iter().map(|item| &item.data[..]).collect();
    let from = u32::try_from(from + data.iter().map(|data| data.len()).sum::<usize>())
        .map(|_| from as u32)
        .map_err(|_| odd())?;
    Ok([start, meta(from), boxed(b"mdat", &data)].concat())
}

/// Where each item's data lies, which begins at `from` (iloc).
fn places(items: &[Item], mut from: u32) -> Vec<u8> {
    // Places and lengths of four bytes, counted from the file's beginning.
    let mut places = vec![0, 0, 0, 0, 0x44, 0];
    places.extend((items.len() as u16).to_be_bytes());
    for Item { id, data, .. } in items {
        places.extend(id.to_be_bytes());
        places.extend([0, 0, 0, 1]);
        places.extend([from, data.len() as u32].into_iter().flat_map(u32::to_be_bytes));
        from = from.wrapping_add(data.len() as u32);
    }
    boxed(b"iloc", &[&places])
}

/// What each item is (iinf).
fn infos(items: &[Item]) -> Vec<u8> {
    let count = (items.len() as u16).to_be_bytes();
    let info = |Item { id, kind, more, .. }: &Item| {
        boxed(b"infe", &[&[2, 0, 0, 0], &id.to_be_bytes(), &[0, 0], kind, &[0], more])
    };
    let infos: Vec<u8> = items.iter().flat_map(info).collect();
    boxed(b"iinf", &[&[0; 4], &count, &infos])
}

/// The properties as they are, with a profile of the primary picture (iprp).
fn properties(
    meta: &Meta<'_>,
    own: &[u8],
    (primary, pictures): (u16, &[u16]),
    profile: Option<&[u8]>,
) -> Result<Vec<u8>, CodecError> {
    let mut all = Parts(own).find(b"ipco").ok_or_else(odd)?.to_vec();
    let count = Parts(&all).count() as u16;
    if let Some(profile) = profile {
        all.extend(boxed(b"colr", &[b"prof", profile]));
    }
    // Numbers of two bytes.
    let mut of_items = vec![0, 0, 0, 1];
    of_items.extend((pictures.len() as u32).to_be_bytes());
    for id in pictures {
        let mut numbers = meta.numbers((*id).into()).to_vec();
        numbers.extend((profile.is_some() && *id == primary).then_some(count + 1));
        of_items.extend(id.to_be_bytes());
        of_items.push(u8::try_from(numbers.len()).map_err(|_| odd())?);
        of_items.extend(numbers.into_iter().flat_map(u16::to_be_bytes));
    }
    Ok(boxed(b"iprp", &[&boxed(b"ipco", &[&all]), &boxed(b"ipma", &[&of_items])]))
}

fn odd() -> CodecError {
    CodecError::encode(Format::Avif, "its boxes are not as they are written here")
}
