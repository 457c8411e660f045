//! XMP (ISO 16684-1): of a packet, whose the picture is (dc:rights) and who made it (dc:creator); and a packet that says no more than
//! that.

use imgserve_drawing::{parse, xml};

use super::rights::{MAX_TEXTS, Rights};

const DUBLIN_CORE: &str = "http://purl.org/dc/elements/1.1/";
const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The longest of the texts together that are kept, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// How a picture lies, by XMP.
const ORIENTATION: &[u8] = b"tiff:Orientation";

/// What a packet says of rights; none of one that is no XML in UTF-8.
pub(super) fn rights(packet: &[u8]) -> Option<Rights> {
    let text = std::str::from_utf8(packet).ok()?.trim_end_matches('\0');
    xml::check(text).ok()?;
    let read = parse(text, false, |document| {
        let mut told = Rights::default();
        for node in document.descendants().filter(|node| node.is_element()) {
            for attribute in node.attributes().filter(|found| found.namespace() == Some(DUBLIN_CORE)) {
                told.add(attribute.name(), None, attribute.value());
            }
            let name = node.tag_name();
            if name.namespace() != Some(DUBLIN_CORE) || !matches!(name.name(), "rights" | "creator") {
                continue;
            }
            let mut items = node.descendants().filter(|item| item.tag_name().name() == "li").peekable();
            if items.peek().is_none() {
                told.add(name.name(), None, node.text().unwrap_or_default());
            }
            for item in items {
                let language = item.attribute((XML, "lang"));
                told.add(name.name(), language, item.text().unwrap_or_default());
            }
        }
        told
    });
    read.ok()
}

impl Rights {
    fn add(&mut self, name: &str, language: Option<&str>, text: &str) {
        let text = text.trim();
        let bytes: usize = self.rights.iter().map(|(_, text)| text.len()).sum::<usize>()
            + self.creators.iter().map(String::len).sum::<usize>();
        let count = self.rights.len() + self.creators.len();
        if text.is_empty() || count >= MAX_TEXTS || bytes + text.len() > MAX_BYTES {
            return;
        }
        match name {
            "rights" => {
                let language = language.unwrap_or("x-default").chars().take(64).collect();
                self.rights.push((language, text.to_owned()));
            }
            "creator" => self.creators.push(text.to_owned()),
            _ => {}
        }
    }
}

/// A packet that says this; none where there is nothing to say.
pub(super) fn packet(rights: &Rights) -> Option<Vec<u8>> {
    if rights.is_empty() {
        return None;
    }
    let mut text = format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"{RDF}\">\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"{DUBLIN_CORE}\">"
    );
    if !rights.rights.is_empty() {
        let item = |(language, told): &(String, String)| {
            format!("<rdf:li xml:lang=\"{}\">{}</rdf:li>", escaped(language), escaped(told))
        };
        let items: String = rights.rights.iter().map(item).collect();
        text.push_str(&format!("<dc:rights><rdf:Alt>{items}</rdf:Alt></dc:rights>"));
    }
    if !rights.creators.is_empty() {
        let items: String =
            rights.creators.iter().map(|told| format!("<rdf:li>{}</rdf:li>", escaped(told))).collect();
        text.push_str(&format!("<dc:creator><rdf:Seq>{items}</rdf:Seq></dc:creator>"));
    }
    text.push_str("</rdf:Description></rdf:RDF></x:xmpmeta>");
    Some(text.into_bytes())
}

/// A text as XML has it; characters that XML has not are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\u{FFFE}' | '\u{FFFF}' => {}
            character if character < ' ' => {}
            character => escaped.push(character),
        }
    }
    escaped
}

/// A packet whose picture lies upright now; none of one that is no text.
pub(super) fn upright(packet: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(packet).ok()?;
    let mut packet = packet.to_vec();
    let mut at = 0;
    while let Some(found) = packet[at..].windows(ORIENTATION.len()).position(|name| name == ORIENTATION) {
        at += found + ORIENTATION.len();
        // `="6"`, or `>6<`, with spaces wherever.
        let value = packet[at..]
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'=' | b'"' | b'\'' | b'>' | b'\n' | b'\r' | b'\t'));
        if let Some(digit) = value.and_then(|value| packet[at + value..].first_mut())
            && digit.is_ascii_digit()
        {
            *digit = b'1';
        }
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
        <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
        xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="x" xmlns:d="http://purl.org/dc/elements/1.1/">
        <tiff:Orientation>8</tiff:Orientation><d:title><rdf:Alt><rdf:li>Secret</rdf:li></rdf:Alt></d:title>
        <d:rights><rdf:Alt><rdf:li xml:lang="x-default">&#169; Ann &amp; Bob</rdf:li><rdf:li xml:lang="de">Anns</rdf:li></rdf:Alt></d:rights>
        <d:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Bob "B" &lt;b@x&gt;</rdf:li></rdf:Seq></d:creator>
        </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"#;

    #[test]
    fn of_a_packet_that_stays_which_says_whose_a_picture_is() {
        let told = rights(PACKET.as_bytes()).unwrap();
        assert_eq!(told.creators, ["Ann", "Bob \"B\" <b@x>"]);
        let languages: Vec<(&str, &str)> =
            told.rights.iter().map(|(language, text)| (language.as_str(), text.as_str())).collect();
        assert_eq!(languages, [("x-default", "© Ann & Bob"), ("de", "Anns")]);
        let again = packet(&told).unwrap();
        assert_eq!(rights(&again).unwrap(), told);
        assert!(!String::from_utf8(again).unwrap().contains("Secret"));
        let attribute = PACKET.replace("tiff:Make=\"x\"", "d:rights=\"Eve\"");
        assert_eq!(rights(attribute.as_bytes()).unwrap().rights.len(), 3);
    }

    #[test]
    fn what_is_no_packet_says_nothing() {
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]><x>&a;</x>";
        for text in [&b"\xFE\xFF\0<"[..], b"", b"<x", bomb.as_bytes()] {
            assert!(rights(text).is_none_or(|told| told.is_empty()), "{text:?}");
        }
        for end in (0..PACKET.len()).filter(|end| PACKET.is_char_boundary(*end)) {
            let _ = (rights(&PACKET.as_bytes()[..end]), upright(&PACKET.as_bytes()[..end]));
        }
        assert_eq!(packet(&Rights::default()), None);
        let endless = Rights { creators: vec!["x".repeat(MAX_BYTES)], ..Rights::default() };
        let twice = String::from_utf8(packet(&endless).unwrap())
            .unwrap()
            .replace("</rdf:li>", "</rdf:li><rdf:li>y</rdf:li>");
        assert_eq!(rights(twice.as_bytes()).unwrap(), endless, "no more than there is room for");
    }

    #[test]
    fn a_packet_says_that_its_picture_is_upright() {
        let upright = String::from_utf8(upright(PACKET.as_bytes()).unwrap()).unwrap();
        assert!(upright.contains("tiff:Orientation=\"1\"") && upright.contains(">1</tiff:Orientation>"));
        assert_eq!(upright.len(), PACKET.len());
    }
}
