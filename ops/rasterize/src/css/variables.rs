//! Variables of CSS (CSS Custom Properties Level 1): what they are set to, for all of a drawing or for a part of it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::syntax::Declaration;

/// What stands for variables that are not set, inside one another.
const MAX_NESTED: usize = 8;
const BEGINS: &str = "var(";
/// Longest value that is made of variables, in bytes.
const LONGEST: usize = 1 << 10;
/// Most bytes of variables and of all values that are made of them, 16 MiB: a few letters may stand for a kibibyte each time.
pub(super) const MOST: u64 = 16 << 20;
/// What a variable takes beside its name and its value.
const ENTRY: usize = 128;

/// The variables that are set, by their names.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// As they are written.
    set: HashMap<String, String>,
    /// Without variables in them; none for one that is nothing, or itself.
    settled: HashMap<String, Option<String>>,
    /// Those that are set around them, for names that are not among these.
    around: Option<Rc<Variables>>,
    /// Bytes of all of it, and of what was made of it, those around included. Once that is too much, nothing more is.
    bytes: Rc<Cell<u64>>,
}

impl Variables {
    /// Those among these declarations.
    pub(super) fn of<'t>(declarations: impl Iterator<Item = Declaration<'t>>) -> Self {
        let mut all = Self::default();
        let variables = declarations.filter(|one| one.name.starts_with("--"));
        all.add(variables.map(|one| (one.name.to_owned(), one.value.into_owned())));
        all
    }

    /// Those of a part, in which others hold as well.
    pub(super) fn within(around: Rc<Self>, set: Vec<(String, String)>) -> Self {
        let mut all = Self { bytes: Rc::clone(&around.bytes), around: Some(around), ..Self::default() };
        all.add(set.into_iter());
        all
    }

    fn add(&mut self, set: impl Iterator<Item = (String, String)>) {
        let mut names = Vec::new();
        for (name, value) in set {
            if !self.has_room(name.len() + value.len() + ENTRY) {
                break;
            }
            names.push(name.clone());
            self.set.insert(name, value);
        }
        // As they are written: what becomes of those that go round in a circle depends on which is first.
        names.iter().for_each(|name| self.settle(name));
    }

    /// A value with what its variables are in their place; none where one is not set and nothing stands for it.
    pub(super) fn resolved<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        replaced(value, MAX_NESTED, &mut |name| self.value(name)).and_then(|value| self.admitted(value))
    }

    /// What a variable is; none for one that is not set, or nothing.
    fn value(&self, name: &str) -> Option<String> {
        let mut at = self;
        loop {
            match (at.settled.get(name), &at.around) {
                (Some(value), _) => return value.clone(),
                (None, Some(around)) => at = around,
                (None, None) => return None,
            }
        }
    }

    /// Bytes of variables and of what was made of them so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// A value, which is counted if it was made of variables; none if that is too much.
    fn admitted<'v>(&self, value: Cow<'v, str>) -> Option<Cow<'v, str>> {
        let made = matches!(value, Cow::Owned(_));
        (!made || self.has_room(value.len())).then_some(value)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
        self.bytes.get() <= MOST
    }

    /// One, after those that it is made of. Each is looked through once, however many others it is in.
    fn settle(&mut self, name: &str) {
        let (mut names, mut begun) = (vec![name.to_owned()], HashSet::new());
        while let Some(name) = names.last() {
            let name = name.clone();
            let value = self.set.get(&name).filter(|_| !self.settled.contains_key(&name));
            if let Some(value) = value {
                let is_new =
                    |other: &&str| self.set.contains_key(*other) && !self.settled.contains_key(*other);
                let before = names.len();
                if begun.insert(name.clone()) {
                    let others = named(value).filter(is_new).filter(|other| !begun.contains(*other));
                    names.extend(others.map(str::to_owned));
                }
                if names.len() > before {
                    continue;
                }
                // What is begun and not settled is made of this one.
                let mut find = |other: &str| match self.set.contains_key(other) {
                    true => self.settled.get(other).cloned().flatten(),
                    false => self.value(other),
                };
                let value = replaced(value, MAX_NESTED, &mut find);
                let value = value.and_then(|value| self.admitted(value)).map(Cow::into_owned);
                self.settled.insert(name, value);
            }
            names.pop();
        }
    }
}

/// The variables that a value names.
fn named(value: &str) -> impl Iterator<Item = &str> {
    value.split(BEGINS).skip(1).map(|rest| rest.split([',', ')']).next().unwrap_or_default().trim())
}

/// A value with what `find` gives for its variables, or what stands for them, so deep at most.
fn replaced<'v>(
    value: &'v str,
    nested: usize,
    find: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Cow<'v, str>> {
    if !value.contains(BEGINS) {
        return Some(Cow::Borrowed(value));
    }
    let inner = nested.checked_sub(1)?;
    let (mut text, mut rest) = (String::new(), value);
    while let Some(at) = rest.find(BEGINS) {
        text += &rest[..at];
        let inside = &rest[at + BEGINS.len()..];
        let end = closed(inside)?;
        let (name, other) = match inside[..end].split_once(',') {
            Some((name, other)) => (name.trim(), Some(other.trim())),
            None => (inside[..end].trim(), None),
        };
        match (find(name), other) {
            (Some(found), _) => text += &found,
            (None, Some(other)) => text += &replaced(other, inner, find)?,
            (None, None) => return None,
        }
        if text.len() > LONGEST {
            return None;
        }
        rest = &inside[end + 1..];
    }
    Some(Cow::Owned(text + rest))
}

/// Where the bracket closes that a text is inside of.
fn closed(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.bytes().position(|byte| {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::super::syntax::declarations;
    use super::*;

    #[test]
    fn a_variable_is_what_it_is_set_to_or_what_stands_for_it() {
        let variables = Variables::of(declarations(
            "--a:red;--b:var(--a);--c:var(--c, 1);fill:blue;--d: url(#x) ;--e:var(--none);--f:var(--g);--g:var(--f)",
        ));
        for (value, resolved) in [
            ("red", Some("red")),
            ("var(--a)", Some("red")),
            ("var( --a )", Some("red")),
            ("var(--b, blue)", Some("red")),
            ("var(--d) var(--a)", Some("url(#x) red")),
            ("var(--none, #123)", Some("#123")),
            ("var(--none, var(--none, rgb(1, 2, 3)))", Some("rgb(1, 2, 3)")),
            ("var(--none, var(--a))", Some("red")),
            ("var(--e, blue)", Some("blue")),
            ("var(--f, blue)", Some("blue")),
            ("var(--none)", None),
            ("var(--a", None),
            ("1px var(--a)", Some("1px red")),
        ] {
            assert_eq!(variables.resolved(value).as_deref(), resolved, "{value}");
        }
    }

    #[test]
    fn however_many_are_inside_one_another_and_in_which_order_they_are_all_looked_through() {
        let chain: Vec<String> =
            (1..10_000).map(|level| format!("--v{level}:var(--v{});", level - 1)).collect();
        let (upwards, downwards) =
            (chain.concat(), chain.iter().rev().map(String::as_str).collect::<String>());
        for order in
            [format!("--v0:red;{upwards}"), format!("{downwards}--v0:red"), format!("{upwards}--v0:red")]
        {
            let variables = Variables::of(declarations(&order));
            for value in ["var(--v1)", "var(--v12)", "var(--v9999)"] {
                assert_eq!(variables.resolved(value).as_deref(), Some("red"), "{value}");
            }
        }
    }

    #[test]
    fn what_goes_round_in_a_circle_is_the_same_each_time() {
        for _ in 0..20 {
            let circle = "--a:var(--b, 1);--b:var(--c, 2);--c:var(--a, 3);--d:var(--c) var(--a)";
            let variables = Variables::of(declarations(circle));
            assert_eq!(variables.resolved("var(--d)").as_deref(), Some("3 3"));
        }
    }

    #[test]
    fn variables_that_multiply_end() {
        for stands in [")", ", x)"] {
            let twice = |level: usize| format!("var(--v{}{stands} ", level - 1).repeat(100);
            let levels: String = (1..20).map(|level| format!("--v{level}:{};", twice(level))).collect();
            let variables = Variables::of(declarations(&format!("{levels}--v0:red")));
            assert!(variables.resolved("var(--v1)").is_some());
            assert!(variables.resolved("var(--v19)").is_none_or(|value| value.len() <= LONGEST));
        }
    }
}
