//! Variables where they are set for a part of a drawing: by an element's `style` or by a rule that matches it, for the element and all
//! that is in it. What a rule makes of them differs from element to element, so it is said there, where no other declaration
//! would go over the rule's. What refers to an element (`use`) gives it no variables.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use resvg::usvg::roxmltree::{Node, NodeId};
use simplecss::{AttributeOperator, Element, PseudoClass, Selector};

use super::media::Screen;
use super::property;
use super::syntax::{declarations, listed, rules, without_comments};
use super::variables::Variables;
use super::{is_for_all, is_known, spelled_selector};

/// Steps of matching rules with elements, of which those that ask for many ancestors may take any number: behind that no rule
/// matches any more.
const MAX_STEPS: usize = 1 << 22;
/// Parts inside one another whose variables are known.
const MAX_NESTED: usize = 32;

/// A declaration of a rule or an attribute.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) important: bool,
}

/// A rule with one of its selectors.
#[derive(Debug)]
pub(super) struct Written {
    selector: String,
    declarations: Rc<[Set]>,
}

/// All rules of these sheets, in order.
pub(super) fn written(sheets: &[String], screen: &Screen) -> Vec<Written> {
    let mut all = Vec::new();
    for rule in sheets.iter().flat_map(|text| rules(text, |name, condition| screen.is_in(name, condition))) {
        let declarations = sets(rule.block);
        for selector in listed(&without_comments(rule.selectors)) {
            let selector = spelled_selector(selector.trim());
            if is_known(&selector) {
                let (selector, declarations) = (selector.into_owned(), Rc::clone(&declarations));
                all.push(Written { selector, declarations });
            }
        }
    }
    all
}

fn sets(block: &str) -> Rc<[Set]> {
    let set = |one: super::syntax::Declaration<'_>| {
        // The names of variables alone are not the same in any case.
        let name =
            if one.name.starts_with("--") { one.name.to_owned() } else { one.name.to_ascii_lowercase() };
        Set { name, value: one.value.into_owned(), important: one.important }
    };
    declarations(block).map(set).collect()
}

/// The variables of each part of a drawing.
pub(super) struct Scopes<'w> {
    top: Rc<Variables>,
    /// Of the elements where others hold.
    parts: HashMap<NodeId, Part>,
    /// By how special they are, and in order.
    rules: Vec<Rule<'w>>,
    steps: Cell<usize>,
}

struct Part {
    variables: Rc<Variables>,
    nested: usize,
}

struct Rule<'w> {
    selector: Selector<'w>,
    declarations: &'w [Set],
    /// Whether it sets variables for a part of the drawing.
    sets: bool,
}

impl<'w> Scopes<'w> {
    /// Of a drawing for all of which `top` is set, and whose rules these are.
    pub(super) fn new(top: Variables, written: &'w [Written]) -> Self {
        let rule = |one: &'w Written| {
            let sets = !is_for_all(&one.selector) && one.declarations.iter().any(Set::is_variable);
            Some(Rule { selector: Selector::parse(&one.selector)?, declarations: &one.declarations, sets })
        };
        let mut rules: Vec<_> = written.iter().filter_map(rule).collect();
        rules.sort_by_key(|rule| rule.selector.specificity());
        Self { top: Rc::new(top), parts: HashMap::new(), rules, steps: Cell::new(0) }
    }

    /// Finds the parts of the drawing in which others are set.
    pub(super) fn find(&mut self, root: Node<'_, '_>) {
        for node in root.descendants().filter(|node| node.is_element() && *node != root) {
            let around = node.parent().and_then(|parent| self.parts.get(&parent.id()));
            let nested = around.map_or(0, |part| part.nested);
            let own = if nested < MAX_NESTED { self.set_by(node) } else { Vec::new() };
            let around = around.map(|part| Rc::clone(&part.variables));
            let part = match (own.is_empty(), around) {
                (true, None) => continue,
                (true, Some(variables)) => Part { variables, nested },
                (false, around) => {
                    let around = around.unwrap_or_else(|| Rc::clone(&self.top));
                    Part { variables: Rc::new(Variables::within(around, own)), nested: nested + 1 }
                }
            };
            self.parts.insert(node.id(), part);
        }
    }

    /// Those that are set for all of the drawing.
    pub(super) fn top(&self) -> &Variables {
        &self.top
    }

    /// The variables that are set where an element is.
    pub(super) fn at(&self, node: Node<'_, '_>) -> &Variables {
        self.parts.get(&node.id()).map_or(&self.top, |part| &part.variables)
    }

    /// What rules make of variables at an element, and not in all of the drawing, if nothing else goes over it.
    pub(super) fn made(&self, node: Node<'_, '_>) -> Vec<&'w Set> {
        let Some(Part { variables: here, .. }) = self.parts.get(&node.id()) else { return Vec::new() };
        let mut held: BTreeMap<&str, &'w Set> = BTreeMap::new();
        for one in self.matching(node, |_| true).flat_map(|rule| rule.declarations) {
            if held.get(one.name.as_str()).is_none_or(|before| one.important || !before.important) {
                held.insert(&one.name, one);
            }
        }
        for one in sets(node.attribute("style").unwrap_or_default()).iter() {
            if held.get(one.name.as_str()).is_some_and(|rule| one.important || !rule.important) {
                held.remove(one.name.as_str());
            }
        }
        let differs =
            |one: &&Set| one.is_made() && here.resolved(&one.value) != self.top.resolved(&one.value);
        held.into_values().filter(|one| property::is_known(&one.name)).filter(differs).collect()
    }

    /// The variables that an element sets, those that hold last.
    fn set_by(&self, node: Node<'_, '_>) -> Vec<(String, String)> {
        let own = sets(node.attribute("style").filter(|style| style.contains("--")).unwrap_or_default());
        let mut all: Vec<&Set> =
            self.matching(node, |rule| rule.sets).flat_map(|rule| rule.declarations).collect();
        all.extend(own.iter());
        // What is important goes over what is not, and else the last.
        all.sort_by_key(|one| one.important);
        let variables = all.into_iter().filter(|one| one.is_variable());
        variables.map(|one| (one.name.clone(), one.value.clone())).collect()
    }

    fn matching(
        &self,
        node: Node<'_, '_>,
        of: impl Fn(&Rule<'w>) -> bool,
    ) -> impl Iterator<Item = &Rule<'w>> {
        self.rules.iter().filter(move |rule| {
            let matches = of(rule) && rule.selector.matches(&Matched { node, steps: &self.steps });
            let steps = if matches { rule.declarations.len() } else { 0 };
            matches && step(&self.steps, steps)
        })
    }
}

impl Set {
    fn is_variable(&self) -> bool {
        self.name.starts_with("--")
    }

    /// Whether it is made of variables.
    fn is_made(&self) -> bool {
        self.value.contains("var(")
    }
}

/// Takes so many steps, and says whether there were as many left.
fn step(steps: &Cell<usize>, by: usize) -> bool {
    steps.set(steps.get().saturating_add(by + 1));
    steps.get() <= MAX_STEPS
}

/// An element as selectors see it, which must be as the parser's do.
struct Matched<'a, 'input, 's> {
    node: Node<'a, 'input>,
    steps: &'s Cell<usize>,
}

impl Element for Matched<'_, '_, '_> {
    fn parent_element(&self) -> Option<Self> {
        let node = self.node.parent_element().filter(|_| step(self.steps, 0))?;
        Some(Self { node, ..*self })
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        let node = self.node.prev_sibling_element().filter(|_| step(self.steps, 0))?;
        Some(Self { node, ..*self })
    }

    fn has_local_name(&self, name: &str) -> bool {
        step(self.steps, 0) && self.node.tag_name().name() == name
    }

    fn attribute_matches(&self, name: &str, operator: AttributeOperator<'_>) -> bool {
        // As long as a long list of classes takes.
        let value = self.node.attribute(name).filter(|value| step(self.steps, value.len() / 16));
        value.is_some_and(|value| operator.matches(value))
    }

    fn pseudo_class_matches(&self, class: PseudoClass<'_>) -> bool {
        class == PseudoClass::FirstChild && self.prev_sibling_element().is_none()
    }
}
