//! EXIF (CIPA DC-008): a TIFF's directories. Of all of it what is not true any more is changed in its place: how the picture lies, its
//! size, and the small picture, which is gone. Or a new block is written that says no more than whose the picture is.

const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013B;
const COPYRIGHT: u16 = 0x8298;
const CAMERAS: u16 = 0x8769;
const WIDTH: u16 = 0xA002;
const HEIGHT: u16 = 0xA003;
/// Where the small picture lies, and its bytes: as a JPEG, and in strips.
const PICTURES: [(u16, u16); 2] = [(0x0201, 0x0202), (0x0111, 0x0117)];

/// Bytes of an entry, and of a value that stands in it.
const ENTRY: usize = 12;
const WITHIN: usize = 4;

/// Numbers of a block in its order of bytes.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn of(block: &[u8]) -> Option<Self> {
        match block.get(..4)? {
            b"II*\0" => Some(Self { big: false }),
            b"MM\0*" => Some(Self { big: true }),
            _ => None,
        }
    }

    fn short(self, block: &[u8], at: usize) -> Option<u16> {
        let bytes = *block.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(self, block: &[u8], at: usize) -> Option<u32> {
        let bytes = *block.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn place(self, block: &[u8], at: usize) -> Option<usize> {
        self.long(block, at).map(|place| place as usize)
    }

    fn shorts(self, number: u16) -> [u8; 2] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn longs(self, number: u32) -> [u8; 4] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// Where the entries of a directory begin, by their tags, and where it says what directory follows.
    fn entries(self, block: &[u8], directory: usize) -> Option<(Vec<(u16, usize)>, usize)> {
        let count = usize::from(self.short(block, directory)?);
        let end = directory.checked_add(2 + ENTRY * count)?;
        block.get(directory..end)?;
        let entries = (0..count).map(|entry| directory + 2 + ENTRY * entry);
        let entries = entries.filter_map(|at| Some((self.short(block, at)?, at))).collect();
        Some((entries, end))
    }

    /// Where an entry's value lies, and its bytes.
    fn value(self, block: &[u8], entry: usize) -> Option<(usize, usize)> {
        let size = match self.short(block, entry + 2)? {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let bytes = self.place(block, entry + 4)?.checked_mul(size)?;
        let at = if bytes <= WITHIN { entry + 8 } else { self.place(block, entry + 8)? };
        block.get(at..at.checked_add(bytes)?)?;
        Some((at, bytes))
    }

    /// The numbers of an entry, of one of the kinds that tell places and lengths.
    fn numbers(self, block: &[u8], entry: usize) -> Vec<usize> {
        let Some((at, bytes)) = self.value(block, entry) else { return Vec::new() };
        let read = |step: usize, one: &dyn Fn(usize) -> Option<usize>| {
            (0..bytes / step).filter_map(|index| one(at + step * index)).collect::<Vec<usize>>()
        };
        match self.short(block, entry + 2) {
            Some(3) => read(2, &|at| self.short(block, at).map(usize::from)),
            Some(4 | 13) => read(4, &|at| self.place(block, at)),
            _ => Vec::new(),
        }
    }

    /// Sets an entry of one number.
    fn set(self, block: &mut [u8], entry: usize, number: u32) {
        let kind = self.short(block, entry + 2);
        if self.long(block, entry + 4) != Some(1) {
            return;
        }
        match (kind, u16::try_from(number)) {
            (Some(3), Ok(number)) => put(block, entry + 8, &self.shorts(number)),
            (Some(4), _) => put(block, entry + 8, &self.longs(number)),
            _ => {}
        }
    }
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn find(entries: &[(u16, usize)], tag: u16) -> Option<usize> {
    entries.iter().find(|(found, _)| *found == tag).map(|(_, at)| *at)
}

/// The block of a picture that is upright now and has this size, without the small picture. None of one that cannot be understood.
pub(super) fn settled(block: &[u8], (width, height): (u32, u32)) -> Option<Vec<u8>> {
    let order = Order::of(block)?;
    let mut block = block.to_vec();
    let first = order.place(&block, 4)?;
    let (entries, behind) = order.entries(&block, first)?;
    if let Some(second) = order.place(&block, behind).filter(|second| *second != 0) {
        erase(order, &mut block, second);
        put(&mut block, behind, &[0; 4]);
    }
    // What was erased may have been said to lie anywhere.
    if order.entries(&block, first)?.0 != entries {
        return None;
    }
    if let Some(entry) = find(&entries, ORIENTATION) {
        order.set(&mut block, entry, 1);
    }
    let cameras = find(&entries, CAMERAS).and_then(|entry| order.numbers(&block, entry).first().copied());
    if let Some((entries, _)) = cameras.and_then(|place| order.entries(&block, place)) {
        for (tag, side) in [(WIDTH, width), (HEIGHT, height)] {
            if let Some(entry) = find(&entries, tag) {
                order.set(&mut block, entry, side);
            }
        }
    }
    Some(block)
}

/// Makes nothing of the directory of the small picture, and of that.
fn erase(order: Order, block: &mut Vec<u8>, directory: usize) {
    let Some((entries, behind)) = order.entries(block, directory) else { return };
    for (places, lengths) in PICTURES {
        let [places, lengths] = [places, lengths]
            .map(|tag| find(&entries, tag).map_or(Vec::new(), |entry| order.numbers(block, entry)));
        for (place, length) in places.into_iter().zip(lengths) {
            let end = place.saturating_add(length).min(block.len());
            // Mostly it stands at the end.
            if end == block.len() {
                block.truncate(place);
            } else if let Some(picture) = block.get_mut(place..end) {
                picture.fill(0);
            }
        }
    }
    for (_, entry) in &entries {
        if let Some((at, bytes)) = order.value(block, *entry)
            && let Some(value) = block.get_mut(at..at + bytes)
        {
            value.fill(0);
        }
    }
    if let Some(all) = block.get_mut(directory..behind) {
        all.fill(0);
    }
}

/// A block that says no more than who made the picture and whose it is; none where that is not said.
pub(super) fn rights(block: &[u8]) -> Option<Vec<u8>> {
    let order = Order::of(block)?;
    let (entries, _) = order.entries(block, order.place(block, 4)?)?;
    let text = |tag| {
        let entry = find(&entries, tag)?;
        let (at, bytes) = order.value(block, entry).filter(|_| order.short(block, entry + 2) == Some(2))?;
        let text = block[at..at + bytes].to_vec();
        text.iter().any(|byte| !matches!(byte, 0 | b' ')).then_some((tag, text))
    };
    let texts: Vec<(u16, Vec<u8>)> = [ARTIST, COPYRIGHT].into_iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| written(&texts))
}

/// A block of these texts, in the order of their tags.
fn written(texts: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0".to_vec();
    block.extend((texts.len() as u16).to_le_bytes());
    let mut place = block.len() + ENTRY * texts.len() + 4;
    let mut values = Vec::new();
    for (tag, text) in texts {
        block.extend([*tag, 2].into_iter().flat_map(u16::to_le_bytes));
        block.extend((text.len() as u32).to_le_bytes());
        if text.len() <= WITHIN {
            let mut within = text.clone();
            within.resize(WITHIN, 0);
            block.extend(within);
        } else {
            block.extend((place as u32).to_le_bytes());
            values.extend(text);
            values.resize(values.len().next_multiple_of(2), 0);
            place += text.len().next_multiple_of(2);
        }
    }
    block.extend([0; 4]);
    block.extend(values);
    block
}

#[cfg(test)]
pub(crate) mod tests {
    use exif::{In, Reader, Tag};

    use super::*;

    /// A camera's block: turned, with a size, an artist, a copyright, and a small picture, which is `JUNK`.
    pub(crate) fn camera(big: bool) -> Vec<u8> {
        let order = Order { big };
        let mut block = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        block.extend(order.longs(8));
        let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
            [&order.shorts(tag)[..], &order.shorts(kind), &order.longs(count), &value].concat()
        };
        let short = |number: u16| [order.shorts(number), [0; 2]].concat().try_into().unwrap();
        // Four entries from 8 on, then at 62 two of the camera, at 92 two of the small picture, then texts and that.
        let (cameras, second, texts) = (62, 92, 122);
        block.extend(order.shorts(4));
        block.extend(entry(ORIENTATION, 3, 1, short(6)));
        block.extend(entry(ARTIST, 2, 4, *b"Ann\0"));
        block.extend(entry(COPYRIGHT, 2, 10, order.longs(texts)));
        block.extend(entry(CAMERAS, 4, 1, order.longs(cameras)));
        block.extend(order.longs(second));
        block.extend(order.shorts(2));
        block.extend(entry(WIDTH, 4, 1, order.longs(4000)));
        block.extend(entry(HEIGHT, 3, 1, short(3000)));
        block.extend(order.longs(0));
        block.extend(order.shorts(2));
        block.extend(entry(0x0201, 4, 1, order.longs(texts + 10)));
        block.extend(entry(0x0202, 4, 1, order.longs(4)));
        block.extend(order.longs(0));
        block.extend(b"(c) Annie\0JUNK");
        block
    }

    fn told(block: &[u8], tag: Tag, of: In) -> Option<String> {
        let read = Reader::new().read_raw(block.to_vec()).unwrap();
        read.get_field(tag, of).map(|field| field.display_value().to_string())
    }

    #[test]
    fn a_camera_s_block_is_true_of_the_result() {
        for big in [false, true] {
            let block = camera(big);
            assert_eq!(
                told(&block, Tag::Orientation, In::PRIMARY).unwrap(),
                "row 0 at right and column 0 at top"
            );
            let settled = settled(&block, (200, 70)).unwrap();
            assert_eq!(
                told(&settled, Tag::Orientation, In::PRIMARY).unwrap(),
                "row 0 at top and column 0 at left"
            );
            assert_eq!(told(&settled, Tag::PixelXDimension, In::PRIMARY).unwrap(), "200");
            assert_eq!(told(&settled, Tag::PixelYDimension, In::PRIMARY).unwrap(), "70");
            assert_eq!(told(&settled, Tag::Copyright, In::PRIMARY).unwrap(), "\"(c) Annie\"");
            assert_eq!(told(&settled, Tag::JPEGInterchangeFormat, In::THUMBNAIL), None);
            assert!(!settled.windows(4).any(|four| four == b"JUNK"), "the small picture is gone");
            assert!(settled.len() < block.len());
        }
    }

    #[test]
    fn of_a_block_that_stays_which_says_whose_a_picture_is() {
        for big in [false, true] {
            let block = rights(&camera(big)).unwrap();
            assert_eq!(told(&block, Tag::Artist, In::PRIMARY).unwrap(), "\"Ann\"");
            assert_eq!(told(&block, Tag::Copyright, In::PRIMARY).unwrap(), "\"(c) Annie\"");
            assert_eq!(told(&block, Tag::Orientation, In::PRIMARY), None);
            assert_eq!(rights(&block).unwrap(), block);
        }
        assert_eq!(rights(&crate::samples::exif(6)), None);
    }

    #[test]
    fn a_broken_block_is_left_out_or_read_as_far_as_it_goes() {
        let whole = camera(true);
        for end in 0..whole.len() {
            let _ = (settled(&whole[..end], (1, 1)), rights(&whole[..end]));
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = rights(&broken);
                if let Some(settled) = settled(&broken, (1, 1)) {
                    assert!(settled.len() <= broken.len());
                }
            }
        }
        assert_eq!(settled(b"no block", (1, 1)), None);
        // Its small picture is said to lie where the first directory does.
        let mut odd = camera(false);
        odd[92 + 2 + 8..][..4].copy_from_slice(&8_u32.to_le_bytes());
        assert_eq!(settled(&odd, (1, 1)), None);
    }
}
