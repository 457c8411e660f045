//! What is stored, as each version was released: frozen, and read for ever.

use imgserve_base::format::{Declared, Format, put_in_force};
use imgserve_base::kept::{Colors, Kept, Metadata};
use imgserve_config::Profile;

use serde_json::{Map, json};

use super::super::order::Left;
use super::*;

/// Version 1: a pipeline with a webhook and a form upload, by imgserve 0.3. Never changed.
const ORDER_1: &str = r#"{"source":"http://ann:secret@pictures.example/a%20b.svg?t=1","outputs":[{"task":{"steps":[{"operation":"rasterize","args":{"width":64,"height":64},"profile":"fast"},{"operation":"resize","args":{"width":32,"height":20}}],"extension":"svg","format":"png","quality":80,"seed":18446744073709551615},"prepared":{"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"svg"},"template":"http://up.example/form:{$basename}_{$width}.png","field":"picture","media_type":"image/png"},{"task":{"steps":[{"operation":"blurhash","args":{},"profile":"best"}],"extension":"svg","format":null,"quality":80,"seed":1},"prepared":{"width":1,"height":1,"own_bytes":1,"guest_bytes":0,"source_format":null},"template":"ftp://u:p@ftp.example/h.txt","field":null,"media_type":"text/plain"}],"notify_url":"https://hook.example/x"}"#;

/// Version 2: the same job. Never changed.
const ORDER_2: &str = r#"{"version":2,"source":"http://ann:secret@pictures.example/a%20b.svg?t=1","outputs":[{"steps":[{"operation":"rasterize","args":{"height":64,"width":64},"profile":"fast"},{"operation":"resize","args":{"height":20,"width":32},"profile":"fast"}],"extension":"svg","format":"png","quality":80,"seed":18446744073709551615,"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"svg","destination":{"form":{"page":"http://up.example/form","file_name":"a%20b_32.png"}},"field":"picture","media_type":"image/png"},{"steps":[{"operation":"blurhash","args":{},"profile":"best"}],"extension":"svg","format":null,"quality":80,"seed":1,"width":1,"height":1,"own_bytes":1,"guest_bytes":0,"source_format":null,"destination":{"ftp":"ftp://u:p@ftp.example/h.txt"},"media_type":"text/plain"}],"notify":"https://hook.example/x"}"#;

/// Version 3: a job that is not planned. Never changed.
const ORDER_3: &str = r#"{"version":3,"source":"http://ann:secret@pictures.example/a.png","request":{"accept":"now","args":{"height":2,"width":3},"dstURL":"file:///o/{$width}.png","operationType":"resize","srcURL":"http://ann:secret@pictures.example/a.png"},"notify":"https://hook.example/x"}"#;

#[test]
fn an_order_that_is_not_planned_keeps_what_was_asked_for() {
    let order = read_order(ORDER_3, 1).unwrap();
    assert_eq!(order_text(&order), ORDER_3, "a change is a later version");
    assert!(order.recipes.is_empty() && order.notify.is_some());
    assert_eq!(order.left.as_ref().unwrap().request["accept"], "now");
    let planned = Order { left: order.left, ..read_order(ORDER_2, 2).unwrap() };
    // Planned, with its placeholders to be stored.
    let text = order_text(&planned);
    assert_eq!(read_order(&text, 2).unwrap(), planned);
    assert!(read_order(&text, 1).unwrap_err().to_string().contains("2 outputs of 1"));
    // Nothing is left.
    assert_eq!(order_text(&Order { left: None, ..planned }), ORDER_2);
    let more = ORDER_3.replace("\"request\":", "\"deadline\":1,\"request\":");
    assert!(read_order(&more, 1).unwrap_err().to_string().contains("deadline"));
}

/// Version 4: two jobs with an argument that nobody knows, of which one is not planned. Never changed.
const ORDER_4: &str = r#"{"version":4,"source":"http://pictures.example/a.png","outputs":[{"steps":[{"operation":"resize","args":{"height":20,"width":32,"wdith":1},"profile":"fast"}],"extension":"png","format":"png","quality":80,"seed":1,"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"png","destination":{"ftp":"ftp://u:p@ftp.example/h.png"},"media_type":"image/png"}],"unknown_arguments":["wdith"]}"#;
const ORDER_4_UNPLANNED: &str = r#"{"version":4,"source":"http://pictures.example/a.png","request":{"accept":"now","args":{"height":2,"width":3,"x":1}},"notify":"https://hook.example/x","unknown_arguments":["x"]}"#;

#[test]
fn an_order_keeps_what_of_its_request_was_passed_over() {
    let order = read_order(ORDER_4, 1).unwrap();
    assert_eq!((order.unknown_arguments.as_slice(), order.recipes.len()), (&["wdith".to_owned()][..], 1));
    assert_eq!(read_order(&order_text(&order), 1).unwrap(), order);
    let text: serde_json::Value = serde_json::from_str(&order_text(&order)).unwrap();
    assert_eq!(
        text,
        serde_json::from_str::<serde_json::Value>(ORDER_4).unwrap(),
        "a change is a later version"
    );
    assert!(read_order(ORDER_4, 2).unwrap_err().to_string().contains("1 outputs of 2"));
    let order = read_order(ORDER_4_UNPLANNED, 2).unwrap();
    assert_eq!(order_text(&order), ORDER_4_UNPLANNED, "a change is a later version");
    assert!(order.left.is_some() && order.unknown_arguments == ["x"]);
}

/// Version 5: from one store into another, by a result with headers. Never changed.
const ORDER_5: &str = r#"{"version":5,"source":"s3://photos/a%20b.png?versionId=7","outputs":[{"steps":[{"operation":"resize","args":{"height":20,"width":32},"profile":"fast"}],"extension":"png","format":"png","quality":80,"seed":1,"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"png","destination":{"store":"gs://thumbs/a.png"},"media_type":"image/png"}],"headers":[[["cache-control","max-age=60"],["x-meta-owner","ann"]]],"unknown_arguments":["w"]}"#;

#[test]
fn an_order_on_stores_keeps_them_and_the_headers() {
    let order = read_order(ORDER_5, 1).unwrap();
    assert_eq!(order_text(&order), ORDER_5, "a change is a later version");
    assert_eq!(order.source.to_string(), "s3://photos/a b.png?versionId=7");
    assert_eq!(order.recipes[0].destination.to_string(), "gs://thumbs/a.png");
    assert_eq!(order.recipes[0].headers[1], ("x-meta-owner".to_owned(), "ann".to_owned()));
    let unplanned = Order { recipes: Vec::new(), left: Some(Left { request: Map::new() }), ..order };
    assert_eq!(read_order(&order_text(&unplanned), 1).unwrap(), unplanned);
    let more = ORDER_5.replace("\"headers\":", "\"deadline\":1,\"headers\":");
    assert!(read_order(&more, 1).unwrap_err().to_string().contains("deadline"));
    let fewer = ORDER_5.replace("\"headers\":[[", "\"headers\":[[],[");
    assert!(read_order(&fewer, 1).unwrap_err().to_string().contains("headers of 2 outputs"));
}

#[test]
fn an_order_of_a_later_format_is_of_a_later_version() {
    for format in [Format::Avif, Format::Jxl] {
        let mut order = read_order(ORDER_2, 2).unwrap();
        order.recipes[0].task.format = Some(format);
        let text = order_text(&order);
        assert!(text.starts_with("{\"version\":5,"), "{text}");
        assert_eq!(read_order(&text, 2).unwrap(), order);
    }
}

/// Version 6: a result that keeps each pixel beside one that does not. Never changed.
const ORDER_6: &str = r#"{"version":6,"source":"http://pictures.example/a.png","outputs":[{"steps":[{"operation":"resize","args":{"height":20,"width":32},"profile":"fast"}],"extension":"png","format":"webp","quality":80,"seed":1,"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"png","destination":{"ftp":"ftp://u:p@ftp.example/h.webp"},"media_type":"image/webp"},{"steps":[{"operation":"resize","args":{"height":20,"width":32},"profile":"fast"}],"extension":"png","format":"tiff","quality":80,"seed":1,"width":32,"height":20,"own_bytes":5000,"guest_bytes":7,"source_format":"png","destination":{"ftp":"ftp://u:p@ftp.example/h.tiff"},"media_type":"image/tiff"}],"kept":[{"lossless":true,"metadata":"copyright"},{"metadata":"all","colors":"source"}],"unknown_arguments":["w"]}"#;

#[test]
fn an_order_keeps_what_its_results_keep() {
    let order = read_order(ORDER_6, 2).unwrap();
    assert_eq!(order_text(&order), ORDER_6, "a change is a later version");
    let [one, other] = [0, 1].map(|index: usize| order.recipes[index].task.kept);
    let (metadata, colors) = (Metadata::Copyright, Colors::Srgb);
    assert_eq!(one, Kept { lossless: true, metadata, colors });
    assert_eq!(other, Kept { lossless: false, metadata: Metadata::All, colors: Colors::Source });
    let odd = ORDER_6.replace("copyright", "some");
    assert!(read_order(&odd, 2).unwrap_err().to_string().contains("`some`"));
    let fewer = ORDER_6.replace("\"kept\":[{\"lossless\":true,\"metadata\":\"copyright\"},", "\"kept\":[");
    assert!(read_order(&fewer, 2).unwrap_err().to_string().contains("what 1 outputs keep, of 2"));
    let more = ORDER_6.replace("{\"lossless\":true,", "{\"layers\":true,");
    assert!(read_order(&more, 2).unwrap_err().to_string().contains("layers"));
    for format in [Format::Tiff, Format::Bmp, Format::Ico] {
        let mut order = read_order(ORDER_2, 2).unwrap();
        order.recipes[0].task.format = Some(format);
        assert!(order_text(&order).starts_with("{\"version\":6,"), "{format}");
        assert_eq!(read_order(&order_text(&order), 2).unwrap(), order);
    }
}

#[test]
fn an_order_of_a_plugged_format_is_of_version_7_and_needs_its_codec() {
    let declared = Declared {
        name: "teststored".to_owned(),
        media_types: vec!["image/x-teststored".to_owned()],
        extensions: vec!["tstored".to_owned()],
        magic: vec![(0, b"teststored".to_vec())],
        written: None,
    };
    let plugged = imgserve_base::format::declared(declared).unwrap();
    put_in_force(vec![plugged]);
    let order = read_order(ORDER_2, 2).unwrap();
    for change in [
        (|order: &mut Order, format| order.recipes[0].task.format = format) as fn(&mut Order, Option<Format>),
        |order, format| order.recipes[1].prepared.source_format = format,
    ] {
        let mut order = order.clone();
        change(&mut order, Some(plugged));
        let text = order_text(&order);
        assert!(text.starts_with("{\"version\":7,") && text.contains("\"teststored\""), "{text}");
        assert_eq!(read_order(&text, 2).unwrap(), order);
        put_in_force(Vec::new());
        let error = read_order(&text, 2).unwrap_err().to_string();
        assert!(error.contains("`teststored`, and no codec of [codecs]"), "{error}");
        put_in_force(vec![plugged]);
    }
    for (request, version) in [
        (json!({ "srcURL": "http://a.example/b.TSTORED?x=y" }), 7),
        (json!({ "outputs": [{ "output": { "format": "teststored" } }] }), 7),
        (json!({ "srcURL": "http://a.example/b.png" }), 3),
    ] {
        let left = Some(Left { request: request.as_object().unwrap().clone() });
        let text = order_text(&Order { left, ..read_order(ORDER_3, 1).unwrap() });
        assert!(text.starts_with(&format!("{{\"version\":{version},")), "{text}");
    }
    put_in_force(Vec::new());
}

#[test]
fn an_order_that_is_not_planned_is_of_a_version_whose_programs_would_do_what_it_asks_for() {
    let order = read_order(ORDER_3, 1).unwrap();
    for (request, version) in [
        (json!({ "args": { "width": 3 }, "dstURL": "file:///o/a.png" }), 3),
        (json!({ "args": { "lossless": true } }), 6),
        (json!({ "outputs": [{ "args": { "metadata": "all" } }] }), 6),
        (json!({ "outputs": [{ "output": { "format": "tiff" } }] }), 6),
        (json!({ "outputs": [{}, { "dstURL": "file:///o/{$basename}.ico" }] }), 6),
        (json!({ "output": { "format": "webp" } }), 3),
    ] {
        let left = Some(Left { request: request.as_object().unwrap().clone() });
        let order = Order { left, ..order.clone() };
        let text = order_text(&order);
        assert!(text.starts_with(&format!("{{\"version\":{version},")), "{text}");
        assert_eq!(read_order(&text, 1).unwrap(), order);
    }
}

const RECEIPT_1: &str = r#"{"id":"0190b6a0-c000-7000-8000-00000000002a","destinations":["file:///a.png"],"unknown_arguments":["w"]}"#;
const RECEIPT_2: &str = r#"{"version":2,"id":"0190b6a0-c000-7000-8000-00000000002a","destinations":["file:///a.png"],"unknown_arguments":["w"]}"#;

#[test]
fn both_versions_of_an_order_mean_the_same_job() {
    let order = read_order(ORDER_1, 2).unwrap();
    assert_eq!(read_order(ORDER_2, 2).unwrap(), order);
    assert_eq!(order_text(&order), ORDER_2, "a change is a later version");

    let [first, second] = &order.recipes[..] else { panic!("{order:?}") };
    let profiles: Vec<Profile> = first.task.steps.iter().map(|step| step.profile).collect();
    assert_eq!((profiles, first.task.seed), (vec![Profile::Fast, Profile::Fast], u64::MAX));
    assert_eq!((first.task.format, first.prepared.source_format), (Some(Format::Png), Some(Format::Svg)));
    assert_eq!(first.destination.to_string(), "http://up.example/form:a%20b_32.png");
    assert_eq!((second.task.format, second.task.steps[0].profile), (None, Profile::Best));
    assert_eq!(order.notify.unwrap().as_str(), "https://hook.example/x");
}

#[test]
fn both_versions_of_a_receipt_are_read() {
    let accepted = read_receipt(RECEIPT_1).unwrap();
    assert!(accepted.replayed);
    assert_eq!(read_receipt(RECEIPT_2).unwrap(), accepted);
    assert_eq!(receipt_text(&accepted), RECEIPT_2, "a change is a version 3");
}

#[test]
fn what_cannot_be_read_says_why() {
    let later = ORDER_2.replace("\"version\":2", "\"version\":8");
    assert_eq!(read_order(&later, 2), Err(Unreadable::Later { found: 8 }));
    assert_eq!(read_receipt(&RECEIPT_2.replace(":2,", ":9,")), Err(Unreadable::Later { found: 9 }));
    // What this version does not know it must not leave out silently.
    let more = ORDER_2.replace("\"extension\":", "\"deadline\":1,\"extension\":");
    for (text, wanted) in [
        (more.as_str(), "deadline"),
        (&ORDER_2.replace("\"png\"", "\"heic\""), "heic"),
        (&ORDER_2.replace("\"best\"", "\"finest\""), "finest"),
        (&ORDER_2.replace("ftp://u:p@", "gopher://"), "ftp"),
        (&ORDER_1.replace("http://ann", "nothing://ann"), "scheme"),
        ("{", "EOF"),
    ] {
        let error = read_order(text, 2).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert!(read_order(ORDER_2, 3).unwrap_err().to_string().contains("2 outputs of 3"));
}
