//! Jobs' ids as people type them: whole, or the last digits that the lists show. Those are random where the first ones are a
//! time that many jobs share (RFC 9562, UUID version 7).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::filter::Page;
use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// Digits of a short id, unless more are needed to tell jobs apart.
const SHORT: usize = 8;
/// Digits of its last group, within which a short id stays.
const LAST_GROUP: usize = 12;
/// Fewest digits that are taken for an id.
const FEWEST: usize = 4;

/// Most ids that are told where several fit.
const SHOWN: usize = 5;

/// An id as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Whole(Uuid),
    /// Its first or last hexadecimal digits, lowercase.
    Part(String),
}

/// Reads an id of the command line.
pub(super) fn parse(text: &str) -> Result<Id, String> {
    if let Ok(id) = Uuid::parse_str(text) {
        return Ok(Id::Whole(id));
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    match digits.len() >= FEWEST && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Id::Part(digits.to_ascii_lowercase())),
        false => Err("no job's id: `imgserve jobs list` shows them".to_owned()),
    }
}

/// The jobs that are meant. The server is asked where an id is not whole.
///
/// # Errors
/// An id that is no job's, or several jobs'.
pub(super) async fn find(client: &Client, ids: &[Id]) -> Result<Vec<Uuid>, Failure> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(match id {
            Id::Whole(id) => *id,
            Id::Part(digits) => {
                let page: Page = client.get(&format!("/v1/jobs?id={digits}&limit={}", SHOWN + 1)).await?;
                only(digits, &page.ids()?)?
            }
        });
    }
    Ok(found)
}

/// The one job whose id begins or ends with these digits.
fn only(digits: &str, found: &[Uuid]) -> Result<Uuid, Failure> {
    match found {
        [only] => Ok(*only),
        [] => Err(Failure::Other(format!("no job's id begins or ends with {digits}"))),
        several => {
            let mut ids: Vec<String> = several.iter().take(SHOWN).map(ToString::to_string).collect();
            if several.len() > SHOWN {
                ids.push("…".to_owned());
            }
            Err(Failure::Other(format!("several jobs' ids begin or end with {digits}: {}", ids.join(", "))))
        }
    }
}

/// The last digits of each id, as many as tell them apart; what is no such id stays as it is.
pub(in crate::cli) fn short(ids: &[&str]) -> Vec<String> {
    let ends = |digits: usize| -> Vec<String> {
        let end = |id: &&str| match Uuid::parse_str(id) {
            Ok(_) if digits <= LAST_GROUP => id[id.len() - digits..].to_owned(),
            _ => (*id).to_owned(),
        };
        ids.iter().map(end).collect()
    };
    let count = |all: &mut dyn Iterator<Item = &str>| all.collect::<BTreeSet<&str>>().len();
    let different = count(&mut ids.iter().copied());
    let enough =
        (SHORT..=LAST_GROUP).map(ends).find(|ends| count(&mut ends.iter().map(String::as_str)) == different);
    enough.unwrap_or_else(|| ends(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "01890000-0000-7000-8000-00aa12345678";
    const OTHER: &str = "01890000-0000-7000-8000-00bb12345678";
    const THIRD: &str = "01890000-0000-7000-8000-00bb87654321";

    #[test]
    fn short_ids_are_as_long_as_tells_them_apart() {
        assert_eq!(short(&[ONE, THIRD, ONE]), ["12345678", "87654321", "12345678"]);
        assert_eq!(short(&[ONE, OTHER]), ["a12345678", "b12345678"]);
        let far = "01890000-0000-7000-8001-00aa12345678";
        assert_eq!(short(&[ONE, far]), [ONE, far]);
        assert_eq!(short(&["x"]), ["x"]);
        assert!(short(&[]).is_empty());
    }

    #[test]
    fn what_a_list_shows_can_be_typed() {
        for (text, digits) in [("B12345678", "b12345678"), ("4321", "4321"), ("7000-8000", "70008000")] {
            assert_eq!(parse(text).unwrap(), Id::Part(digits.to_owned()));
        }
        assert_eq!(parse(ONE).unwrap(), Id::Whole(Uuid::parse_str(ONE).unwrap()));
        for wrong in ["", "abc", "lost", "1234567z", "../jobs"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn digits_of_several_jobs_are_told_from_those_of_one() {
        let all = [ONE, OTHER, THIRD].map(|id| Uuid::parse_str(id).unwrap());
        let meant = |found: &[Uuid]| only("1234", found).map_err(|failure| failure.to_string());
        assert_eq!(meant(&all[..1]).unwrap(), all[0]);
        assert_eq!(meant(&[]).unwrap_err(), "no job's id begins or ends with 1234");
        let several = meant(&all[..2]).unwrap_err();
        assert!(several.contains(ONE) && several.contains(OTHER) && !several.contains('…'), "{several}");
        let many = meant(&[all, all].concat()).unwrap_err();
        assert!(many.ends_with(", …") && many.matches(THIRD).count() == 1, "{many}");
    }
}
