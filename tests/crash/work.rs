//! What the jobs of the crash test are: a few sources and what is made of them, and the exact bytes that an undisturbed
//! server gives for each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::peer::Peer;
use crate::victim::{Answer, Victim, client};

/// Small sources, of which most jobs are.
const SMALL: u32 = 20;

/// An image that jobs work on.
pub(crate) struct Source {
    /// Its file name.
    pub(crate) name: String,
    pub(crate) large: bool,
    dishes: Vec<Dish>,
    /// What one job makes of it: one dish or several.
    pub(crate) menus: Vec<Menu>,
}

/// One thing that can be made of a source.
pub(crate) struct Dish {
    pub(crate) operation: &'static str,
    pub(crate) args: Value,
    pub(crate) extension: &'static str,
}

/// Dishes made together. How small a JPEG is decoded depends on all of them, so each list has results of its own.
pub(crate) struct Menu {
    pub(crate) dishes: Vec<usize>,
    pub(crate) made: Vec<Arc<Made>>,
}

/// What must stand at a destination: nothing else ever may.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) placeholder: Bytes,
    pub(crate) result: Bytes,
}

/// All sources.
pub(crate) struct Work {
    pub(crate) sources: Vec<Source>,
}

impl Source {
    fn new(name: String, large: bool, dishes: Vec<Dish>) -> Self {
        let lists: &[&[usize]] = match dishes.len() {
            3 => &[&[0], &[1], &[2], &[0, 1], &[2, 1], &[2, 0, 1]],
            _ => &[&[0], &[1], &[1, 0]],
        };
        let menus = lists.iter().map(|list| Menu { dishes: list.to_vec(), made: Vec::new() }).collect();
        Self { name, large, dishes, menus }
    }

    /// The dishes of a menu.
    pub(crate) fn dishes<'a>(&'a self, menu: &'a Menu) -> impl Iterator<Item = &'a Dish> {
        menu.dishes.iter().map(|dish| &self.dishes[*dish])
    }
}

fn resized(args: Value, extension: &'static str) -> Dish {
    Dish { operation: "resize", args, extension }
}

fn dishes(extension: &'static str, large: bool) -> Vec<Dish> {
    let size = |width: u32, height: u32| match large {
        true => (width * 20, height * 20),
        false => (width, height),
    };
    let args = |(width, height): (u32, u32)| json!({ "width": width, "height": height });
    let mut cover = args(size(24, 24));
    cover["fit"] = json!("cover");
    let mut webp = args(size(20, 15));
    webp["format"] = json!("webp");
    vec![resized(args(size(16, 12)), extension), resized(cover, extension), resized(webp, "webp")]
}

fn drawn() -> Vec<Dish> {
    let dish = |width: u32, height: u32| Dish {
        operation: "rasterize",
        args: json!({ "width": width, "height": height }),
        extension: "png",
    };
    vec![dish(60, 30), dish(90, 45)]
}

/// Each source with its bytes.
fn sources() -> Vec<(Source, Vec<u8>)> {
    let mut all = Vec::new();
    for number in 0..SMALL {
        let (format, extension) = match number % 2 {
            0 => (ImageFormat::Png, "png"),
            _ => (ImageFormat::Jpeg, "jpg"),
        };
        let bytes = samples::encoded(64 + number, 48 + number / 2, format);
        let name = format!("s{number:02}.{extension}");
        all.push((Source::new(name, false, dishes(extension, false)), bytes));
    }
    for number in 0..2 {
        let bytes = samples::encoded(1600 + 100 * number, 1200, ImageFormat::Jpeg);
        let name = format!("l{number}.jpg");
        all.push((Source::new(name, true, dishes("jpg", true)), bytes));
    }
    let drawing = Source::new("d.svg".to_owned(), false, drawn());
    all.push((drawing, samples::DRAWING.as_bytes().to_vec()));
    all
}

impl Work {
    /// Puts the sources where jobs find them (at the peer, and among the server's files), and has every dish made once by
    /// a server that nobody disturbs.
    pub(crate) async fn prepare(victim: &mut Victim, peer: &Peer, ledger: &Ledger) -> Result<Self, String> {
        let mut work = Self { sources: Vec::new() };
        for (source, bytes) in sources() {
            std::fs::write(victim.files().join(&source.name), &bytes).unwrap();
            peer.offer(&source.name, bytes);
            work.sources.push(source);
        }
        victim.start().await?;
        for source in &mut work.sources {
            for number in 0..source.menus.len() {
                source.menus[number].made = make(victim, peer, ledger, source, number).await?;
            }
        }
        work.tell_apart()?;
        victim.signal("TERM");
        match victim.end_within(Duration::from_secs(10)).await {
            Some(status) if status.success() => Ok(work),
            other => Err(format!("the undisturbed server did not stop well: {other:?}")),
        }
    }

    /// A source that takes a while.
    pub(crate) fn large(&self) -> &Source {
        self.sources.iter().find(|source| source.large).unwrap()
    }

    /// Each placeholder must differ from its result.
    fn tell_apart(&self) -> Result<(), String> {
        let all = self.sources.iter().flat_map(|source| &source.menus).flat_map(|menu| &menu.made);
        match all.clone().all(|made| made.placeholder != made.result) {
            true => Ok(()),
            false => Err("a placeholder of the test is its result: it could not tell them apart".to_owned()),
        }
    }
}

/// Has a menu made, and looks what came.
async fn make(
    victim: &Victim,
    peer: &Peer,
    ledger: &Ledger,
    source: &Source,
    number: usize,
) -> Result<Vec<Arc<Made>>, String> {
    let menu = &source.menus[number];
    let names: Vec<String> = source
        .dishes(menu)
        .enumerate()
        .map(|(index, dish)| format!("x-{}-{number}-{index}.{}", source.name, dish.extension))
        .collect();
    let urls: Vec<String> = names.iter().map(|name| peer.file(name)).collect();
    let body = body(&peer.file(&source.name), source, menu, &urls);
    let request = client(Duration::from_secs(60))
        .post(victim.url("/v1/jobs"))
        .header("prefer", "wait=50")
        .body(body.clone());
    let answer = Answer::of(request).await.map_err(|error| error.to_string())?;
    let made = |name: &String| match ledger.unexpected_bodies(name).as_slice() {
        [placeholder, result] if answer.body["state"] == "succeeded" => {
            Ok(Arc::new(Made { placeholder: placeholder.clone(), result: result.clone() }))
        }
        bodies => Err(format!("undisturbed, {body} gave {} stored bodies and {answer:?}", bodies.len())),
    };
    names.iter().map(made).collect()
}

/// The request for a menu; `to`: a destination for each dish.
pub(crate) fn body(from: &str, source: &Source, menu: &Menu, to: &[String]) -> String {
    let one = |(dish, to): (&Dish, &String)| json!({ "operationType": dish.operation, "dstURL": to, "args": dish.args });
    let mut outputs: Vec<Value> = source.dishes(menu).zip(to).map(one).collect();
    let mut body = if outputs.len() == 1 { outputs.remove(0) } else { json!({ "outputs": outputs }) };
    body["srcURL"] = json!(from);
    body.to_string()
}
