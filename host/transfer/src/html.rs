//! The upload form in a page of HTML: which form, what it sends besides the file, and where to. Pure; follows the
//! HTML standard's "constructing the entry list" for a form submitted by its first button.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use html5ever::tendril::{ByteTendril, TendrilSink};
use scraper::{ElementRef, Html, HtmlTreeSink};
use url::Url;

use super::body::{Entry, FilePart, Value};

/// A form filled in, ready to be sent by POST as multipart/form-data whatever its method and enctype say: nothing
/// else can carry a file.
#[derive(Debug)]
pub(super) struct UploadForm {
    /// Where to; any scheme the page liked to name.
    pub(super) action: Url,
    /// In the page's order, the file among them.
    pub(super) entries: Vec<Entry>,
}

/// How long a page is parsed. Honest pages take milliseconds; one of hundreds of thousands of nested elements takes
/// minutes, since the standard's algorithm walks the open elements at every tag.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many nodes of a page are held. Honest pages have some thousands; in one of another kind each paragraph has all the elements
/// that were left open before it made once more, thousands of each byte.
const MAX_NODES: usize = 1 << 15;

/// How much is parsed between two looks at the time and at the nodes, in bytes: a paragraph at most.
const PIECE: usize = 4;

/// What a form has as its action and is no URL.
#[derive(Debug)]
pub(super) struct NoAction(pub(super) String);

/// Fills in the first form of `html` (UTF-8, found at `page`) that has a file input named `field`. None also for a
/// page too tangled to parse.
///
/// # Errors
/// The form does not say where it is to be sent.
pub(super) fn fill_form(
    html: &[u8],
    page: &Url,
    field: &str,
    file: &FilePart,
) -> Result<Option<UploadForm>, NoAction> {
    let Some(document) = parse(html) else { return Ok(None) };
    let controls = Controls::of(&document);
    let found = controls.owned.iter().find(|(_, control)| is_file_input(*control, field));
    let Some((chosen, input)) = found.copied() else { return Ok(None) };
    let own: Vec<ElementRef<'_>> = controls
        .owned
        .iter()
        .filter(|(form, _)| form.id() == chosen.id())
        .map(|(_, control)| *control)
        .collect();
    let button = own.iter().copied().find(|control| is_submit(*control));
    let action = button.and_then(|button| button.attr("formaction")).or_else(|| chosen.attr("action"));
    let mut entries = Vec::new();
    for control in &own {
        if is_file_input(*control, field) {
            // A second input of the same name would send the file twice.
            if control.id() == input.id() {
                entries.push(Entry { name: field.to_owned(), value: Value::File(file.clone()) });
            }
        } else if !is_submit(*control) || button.is_some_and(|button| button.id() == control.id()) {
            add_entries(*control, &mut entries);
        }
    }
    let to = resolve(page, controls.base, action);
    let to = to.ok_or_else(|| NoAction(action.unwrap_or_default().to_owned()))?;
    Ok(Some(UploadForm { action: to, entries }))
}

fn parse(html: &[u8]) -> Option<Html> {
    let sink = HtmlTreeSink::new(Html::new_document());
    let mut parser = html5ever::parse_document(sink, html5ever::ParseOpts::default()).from_utf8();
    let started = Instant::now();
    for piece in html.chunks(PIECE) {
        parser.process(ByteTendril::from_slice(piece));
        let nodes = parser.inner_sink.tokenizer.sink.sink.0.borrow().tree.values().len();
        if nodes > MAX_NODES || started.elapsed() > PATIENCE {
            return None;
        }
    }
    Some(parser.finish())
}

/// The action's URL. An empty action means the page itself, not its base (HTML standard, "form submission algorithm").
fn resolve(page: &Url, base: Option<&str>, action: Option<&str>) -> Option<Url> {
    let mut action = match action.map(str::trim).filter(|action| !action.is_empty()) {
        None => page.clone(),
        Some(action) => {
            let base = base.and_then(|base| page.join(base).ok());
            base.as_ref().unwrap_or(page).join(action).ok()?
        }
    };
    action.set_fragment(None);
    Some(action)
}

/// The enabled controls of a document with the forms that own them, in the document's order.
struct Controls<'a> {
    owned: Vec<(ElementRef<'a>, ElementRef<'a>)>,
    base: Option<&'a str>,
}

/// What an element passes on to those within it.
#[derive(Clone, Copy, Default)]
struct Context<'a> {
    form: Option<ElementRef<'a>>,
    /// Within a disabled fieldset, or a datalist: not sent.
    barred: bool,
}

impl<'a> Controls<'a> {
    /// One walk over the document; each element's context comes from its parent's, so that a hostile page of deep
    /// nesting costs no more than its length.
    fn of(document: &'a Html) -> Self {
        let elements: Vec<ElementRef<'a>> =
            document.tree.root().descendants().filter_map(ElementRef::wrap).collect();
        let forms_by_id = forms_by_id(&elements);
        let mut found = Self { owned: Vec::new(), base: None };
        let mut contexts = HashMap::new();
        let mut table_form = None;
        for element in elements {
            let parent = element.parent();
            let inherited: Context<'a> =
                parent.and_then(|parent| contexts.get(&parent.id())).copied().unwrap_or_default();
            let mut context = inherited;
            match name(element) {
                "base" => found.base = found.base.or(element.attr("href")),
                "form" => {
                    context.form = Some(element);
                    if in_table(element) && element.child_elements().next().is_none() {
                        table_form = Some(element);
                    }
                }
                "fieldset" => context.barred |= element.attr("disabled").is_some(),
                "datalist" => context.barred = true,
                "input" | "button" | "select" | "textarea" if sendable(element, inherited) => {
                    let owner = match element.attr("form") {
                        Some(id) => forms_by_id.get(id).copied(),
                        None => inherited.form.or(table_form),
                    };
                    found.owned.extend(owner.map(|owner| (owner, element)));
                }
                _ => {}
            }
            contexts.insert(element.id(), context);
        }
        found
    }
}

/// Of forms with the same id, the first.
fn forms_by_id<'a>(elements: &[ElementRef<'a>]) -> HashMap<&'a str, ElementRef<'a>> {
    let forms = elements.iter().rev().filter(|element| name(**element) == "form");
    forms.filter_map(|form| Some((form.attr("id")?, *form))).collect()
}

fn sendable(control: ElementRef<'_>, inherited: Context<'_>) -> bool {
    !inherited.barred && control.attr("disabled").is_none()
}

/// Whether a form begins between the rows of a table. The parser then leaves it empty and its controls outside of it,
/// though a browser still sends them with it; old pages are full of these.
fn in_table(form: ElementRef<'_>) -> bool {
    let parent = form.parent().and_then(ElementRef::wrap);
    parent.is_some_and(|parent| matches!(name(parent), "table" | "tbody" | "thead" | "tfoot" | "tr"))
}

fn name(element: ElementRef<'_>) -> &str {
    element.value().name()
}

/// An input's type, lowercase; empty for other elements.
fn input_type(control: ElementRef<'_>) -> String {
    match name(control) {
        "input" => control.attr("type").unwrap_or("text").to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn is_file_input(control: ElementRef<'_>, field: &str) -> bool {
    control.attr("name") == Some(field) && input_type(control) == "file"
}

fn is_submit(control: ElementRef<'_>) -> bool {
    match name(control) {
        "input" => matches!(input_type(control).as_str(), "submit" | "image"),
        "button" => !control
            .attr("type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("button") || kind.eq_ignore_ascii_case("reset")),
        _ => false,
    }
}

/// What one control sends.
fn add_entries(control: ElementRef<'_>, entries: &mut Vec<Entry>) {
    let Some(name_sent) = control.attr("name").filter(|name| !name.is_empty()) else { return };
    let mut add = |name: String, text: String| entries.push(Entry { name, value: Value::Text(text) });
    let value = control.attr("value");
    match (name(control), input_type(control).as_str()) {
        // Other file inputs are left unfilled; a push button that was not pushed sends nothing.
        ("input", "file" | "button" | "reset") => {}
        ("input", "checkbox" | "radio") if control.attr("checked").is_none() => {}
        ("input", "checkbox" | "radio") => add(name_sent.to_owned(), value.unwrap_or("on").to_owned()),
        ("input", "image") => {
            add(format!("{name_sent}.x"), "0".to_owned());
            add(format!("{name_sent}.y"), "0".to_owned());
        }
        ("input", "hidden") if name_sent == "_charset_" => add(name_sent.to_owned(), "UTF-8".to_owned()),
        ("input", _) => add(name_sent.to_owned(), value.unwrap_or_default().to_owned()),
        ("button", _) if is_submit(control) => {
            add(name_sent.to_owned(), value.unwrap_or_default().to_owned())
        }
        ("textarea", _) => add(name_sent.to_owned(), control.text().collect()),
        ("select", _) => selected(control).into_iter().for_each(|value| add(name_sent.to_owned(), value)),
        _ => {}
    }
}

/// The values of a select's selected options; of a drop-down list with none selected, the first one's.
fn selected(select: ElementRef<'_>) -> Vec<String> {
    let options = || {
        let all = select.descendent_elements().filter(|element| name(*element) == "option");
        all.filter(|option| option.attr("disabled").is_none())
    };
    let marked = options().filter(|option| option.attr("selected").is_some());
    if select.attr("multiple").is_some() {
        return marked.map(option_value).collect();
    }
    marked.last().or_else(|| options().next()).map(option_value).into_iter().collect()
}

fn option_value(option: ElementRef<'_>) -> String {
    let label = || option.text().collect::<String>().split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    option.attr("value").map_or_else(label, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(html: &str) -> Option<UploadForm> {
        let page = Url::parse("http://h/dir/page.html?q#f").unwrap();
        let file = FilePart {
            file_name: "x.png".to_owned(),
            media_type: "image/png".to_owned(),
            body: "PNG".into(),
        };
        fill_form(html.as_bytes(), &page, "pic", &file).unwrap()
    }

    #[test]
    fn a_form_that_does_not_say_where_it_goes_is_no_missing_form() {
        let page = Url::parse("http://h/page").unwrap();
        let file =
            FilePart { file_name: "x.png".to_owned(), media_type: "image/png".to_owned(), body: "".into() };
        for action in ["http://[", "https://", "http://a b/", "//x:99999/", "http://u@/"] {
            for html in [
                format!("<form action='{action}'><input type=file name=pic></form>"),
                format!("<form><input type=file name=pic><button formaction='{action}'></form>"),
            ] {
                let NoAction(said) = fill_form(html.as_bytes(), &page, "pic", &file).unwrap_err();
                assert_eq!(said, action);
            }
        }
    }

    /// `name=value` of each entry; the file's value is its file name.
    fn entries(html: &str) -> String {
        let show = |entry: Entry| match entry.value {
            Value::Text(text) => format!("{}={text}", entry.name),
            Value::File(file) => format!("{}=@{}", entry.name, file.file_name),
        };
        fill(html).unwrap().entries.into_iter().map(show).collect::<Vec<_>>().join("&")
    }

    fn action(attributes: &str, head: &str) -> String {
        let html = format!("<head>{head}</head><form {attributes}><input type=file name=pic></form>");
        fill(&html).unwrap().action.into()
    }

    #[test]
    fn every_successful_control_is_sent_in_order() {
        let html = r#"<form action=up method=post>
            <input type=hidden name=token value="a&amp;b"><input name=title value=T><INPUT TYPE=FILE NAME=pic>
            <input type=checkbox name=c1 checked><input type=checkbox name=c2 value=v>
            <input type=radio name=r value=1><input type=radio name=r value=2 checked>
            <select name=s><option>one <option value=2 selected>two</select>
            <select name=first><option disabled>no<option> the  first </select>
            <select name=m multiple><option selected>x<option>y<option selected>z</select>
            <textarea name=t>
line</textarea><input type=file name=other><input type=button name=b value=b><input type=reset name=rs>
            <input value=nameless><input name=off value=1 disabled>
            <fieldset disabled><input name=off2 value=1></fieldset><datalist><input name=off3></datalist>
            <button type=button name=nb>no</button><button name=go value=1>Go</button><input type=submit name=go2>
            </form>"#;
        assert_eq!(
            entries(html),
            "token=a&b&title=T&pic=@x.png&c1=on&r=2&s=2&first=the first&m=x&m=z&t=line&go=1"
        );
    }

    #[test]
    fn the_form_with_the_field_is_chosen() {
        let html = "<form action=a><input name=q value=1></form><form action=b><input type=text name=pic></form>\
                    <form action=c><input type=file name=pic><input name=z value=1></form>";
        let form = fill(html).unwrap();
        assert_eq!(form.action.as_str(), "http://h/dir/c");
        assert_eq!(form.entries.len(), 2);
        assert!(fill("<form><input type=file name=else></form>").is_none());
        assert!(fill("<input type=file name=pic>").is_none());
        assert!(fill("").is_none());
    }

    #[test]
    fn controls_belong_to_forms_by_attribute_and_through_tables() {
        let by_id = "<input type=hidden name=a value=1 form=f><form id=f></form><input type=file name=pic form=f>\
                     <form><input name=b value=2 form=none></form>";
        assert_eq!(entries(by_id), "a=1&pic=@x.png");
        let table = "<table><form action=up><tr><td><input type=file name=pic><td><input name=a value=1></form></table>";
        assert_eq!(entries(table), "pic=@x.png&a=1");
    }

    #[test]
    fn actions_are_resolved() {
        assert_eq!(action("", ""), "http://h/dir/page.html?q");
        assert_eq!(action("action=''", "<base href=http://base/x/>"), "http://h/dir/page.html?q");
        assert_eq!(action("action='up?x=1#frag'", ""), "http://h/dir/up?x=1");
        assert_eq!(action("action=/up", ""), "http://h/up");
        assert_eq!(
            action("action=up", "<base href=http://base/x/><base href=http://no/>"),
            "http://base/x/up"
        );
        assert_eq!(action("action=//other/up", ""), "http://other/up");
        assert_eq!(action("action=javascript:x", ""), "javascript:x");
        let button = "<form action=a><input type=file name=pic><button formaction=b>";
        assert_eq!(fill(button).unwrap().action.as_str(), "http://h/dir/b");
    }

    #[test]
    fn the_first_button_is_pushed_and_only_once_is_the_file_sent() {
        let html = "<form><input type=image name=i src=x><input type=file name=pic><input type=file name=pic>\
                    <input type=submit name=late value=1></form>";
        assert_eq!(entries(html), "i.x=0&i.y=0&pic=@x.png");
    }

    #[test]
    fn pages_are_parsed_across_pieces() {
        let html =
            format!("{}<form><input type=file name=pic><input name=a value=ä>", "ä<br>\n".repeat(2000));
        assert_eq!(entries(&html), "pic=@x.png&a=ä");
    }

    #[test]
    fn a_page_that_makes_more_of_itself_than_it_has_is_given_up() {
        let open: String = (0..400).map(|number| format!("<b a{number}>")).collect();
        let bomb = format!("<form><input type=file name=pic><p>{open}{}", "<p>x".repeat(400));
        assert!(bomb.len() < 8 << 10 && parse(bomb.as_bytes()).is_none(), "160,000 nodes of a small page");
        let long = format!("<form><input type=file name=pic><select name=s>{}", "<option>x".repeat(10_000));
        assert_eq!(entries(&long), "pic=@x.png&s=x");
    }

    /// Parsed to the end, most of these would take minutes.
    #[test]
    fn hostile_pages_are_given_up() {
        let form = "<form><input type=file name=pic>";
        for tangle in ["<div>", "<b><p>", "<table><td>"] {
            let started = Instant::now();
            let _any = fill(&format!("{form}{}", tangle.repeat((1 << 20) / tangle.len())));
            assert!(started.elapsed() < PATIENCE * 10, "{tangle}: {:?}", started.elapsed());
        }
    }
}
