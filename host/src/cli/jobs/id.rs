//! Jobs' ids as people type them: whole, or the last digits that the lists show. Those are random where the first ones are a
//! time that many jobs share (RFC 9562, UUID version 7).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::filter::Filter;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::story::Story;

/// Digits of a short id, unless more are needed to tell jobs apart.
const SHORT: usize = 8;
/// Digits of its last group, within which a short id stays.
const LAST_GROUP: usize = 12;
/// Fewest digits that are taken for an id.
const FEWEST: usize = 4;

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

/// The jobs that are meant. The server is asked for its jobs only where an id is not whole.
///
/// # Errors
/// An id that is no job's, or several jobs'.
pub(super) async fn find(client: &Client, ids: &[Id]) -> Result<Vec<Uuid>, Failure> {
    let mut all = Vec::new();
    if ids.iter().any(|id| matches!(id, Id::Part(_))) {
        let any = Filter { state: Vec::new(), operation: None };
        let collect = |jobs: &[serde_json::Value]| {
            for job in jobs {
                all.extend(Uuid::parse_str(Story::read(job)?.id.as_str()).ok());
            }
            Ok(())
        };
        any.pages(client, usize::MAX, collect).await?;
    }
    ids.iter().map(|id| meant(id, &all)).collect()
}

fn meant(id: &Id, all: &[Uuid]) -> Result<Uuid, Failure> {
    let digits = match id {
        Id::Whole(id) => return Ok(*id),
        Id::Part(digits) => digits,
    };
    let fits = |id: &&Uuid| {
        let whole = id.simple().to_string();
        whole.ends_with(digits.as_str()) || whole.starts_with(digits.as_str())
    };
    // A page may begin with what the one before ended with, where jobs were added meanwhile.
    let found: BTreeSet<&Uuid> = all.iter().filter(fits).collect();
    match found.iter().collect::<Vec<_>>().as_slice() {
        [only] => Ok(***only),
        [] => Err(Failure::Other(format!("no job's id begins or ends with {digits}"))),
        several => {
            let ids: Vec<String> = several.iter().take(5).map(ToString::to_string).collect();
            let text = format!("{} jobs' ids begin or end with {digits}: {}", several.len(), ids.join(", "));
            Err(Failure::Other(text))
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
        let all = [ONE, OTHER, THIRD].map(|id| Uuid::parse_str(id).unwrap());
        let typed = |text: &str| meant(&parse(text).unwrap(), &all).map_err(|failure| failure.to_string());
        for (text, wanted) in [(ONE, 0), ("a12345678", 0), ("B12345678", 1), ("87654321", 2), ("4321", 2)] {
            assert_eq!(typed(text).unwrap(), all[wanted], "{text}");
        }
        let unknown = "01890000-0000-7000-8000-000000000000";
        assert_eq!(typed(unknown).unwrap().to_string(), unknown, "a whole one is the server's to know");
        let several = typed("12345678").unwrap_err();
        assert!(several.contains(ONE) && several.contains(OTHER) && !several.contains(THIRD), "{several}");
        assert!(typed("01890000").unwrap_err().starts_with("3 jobs"));
        assert!(typed("ffff").unwrap_err().contains("no job's id begins or ends with ffff"));
        for wrong in ["", "abc", "lost", "1234567z", "../jobs"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
