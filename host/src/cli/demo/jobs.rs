//! The demo's jobs, one row each.

use imgserve_base::format::Format;

use super::check::Expected;
use super::peers::{Peers, Place};
use super::samples::{Sample, Samples};

/// A job and what must come of it.
#[derive(Clone, Debug)]
pub(super) struct Job<'a> {
    pub(super) title: &'static str,
    pub(super) operation: &'static str,
    pub(super) source: Place,
    pub(super) destination: Place,
    /// The destination's file name as the request says it; may hold tags.
    pub(super) file: &'static str,
    /// The same with its tags substituted.
    pub(super) stored: &'static str,
    /// The request's `args`, as JSON.
    pub(super) args: &'static str,
    pub(super) sample: &'a Sample,
    pub(super) outcome: Outcome<'a>,
}

/// What must come of a job.
#[derive(Clone, Debug)]
pub(super) enum Outcome<'a> {
    Result(Expected<'a>),
    /// A refusal with this code of imgserve 0.2.
    Code(u16),
}

impl Job<'_> {
    /// The request's body, one member per line.
    pub(super) fn request(&self, peers: &Peers) -> String {
        format!(
            "{{\"operationType\": \"{}\",\n \"srcURL\": {},\n \"dstURL\": {},\n \"args\": {}}}",
            self.operation,
            json(&peers.url(self.source, self.sample.name)),
            json(&peers.url(self.destination, self.file)),
            self.args
        )
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// All jobs, in the order they are run.
pub(super) fn all(samples: &Samples) -> Vec<Job<'_>> {
    let Samples { photo, ball, day, poster } = samples;
    let to = |sample, format, width, height| Outcome::Result(Expected { sample, format, width, height });
    vec![
        Job {
            title: "resize a JPEG, uploaded through a web form",
            operation: "resize",
            source: Place::Web,
            destination: Place::Form,
            file: "{$basename}-small.{$ext}",
            stored: "photo-small.jpg",
            args: r#"{"width": 960, "height": 480, "field_name": "picture"}"#,
            sample: photo,
            outcome: to(photo, Format::Jpeg, 960, 480),
        },
        Job {
            title: "resize a PNG with transparency",
            operation: "resize",
            source: Place::Web,
            destination: Place::Web,
            file: "ball-256.png",
            stored: "ball-256.png",
            args: r#"{"width": 256, "height": 256}"#,
            sample: ball,
            outcome: to(ball, Format::Png, 256, 256),
        },
        Job {
            title: "resize over FTP, a landscape cropped to a square",
            operation: "resize",
            source: Place::Ftp,
            destination: Place::Ftp,
            file: "square.jpg",
            stored: "square.jpg",
            args: r#"{"width": 480, "height": 480, "quality": 90}"#,
            sample: photo,
            outcome: to(photo, Format::Jpeg, 480, 480),
        },
        Job {
            title: "resize an animated GIF, frame by frame",
            operation: "resize",
            source: Place::File,
            destination: Place::File,
            file: "day-{$width}x{$height}.gif",
            stored: "day-240x160.gif",
            args: r#"{"width": 240, "height": 160}"#,
            sample: day,
            outcome: to(day, Format::Gif, 240, 160),
        },
        Job {
            title: "rasterize an SVG",
            operation: "rasterize",
            source: Place::File,
            destination: Place::File,
            file: "poster.png",
            stored: "poster.png",
            args: r#"{"width": 1200, "height": 600}"#,
            sample: poster,
            outcome: to(poster, Format::Png, 1200, 600),
        },
        Job {
            title: "rasterize from HTTP to FTP, smaller than drawn",
            operation: "rasterize",
            source: Place::Web,
            destination: Place::Ftp,
            file: "poster-small.png",
            stored: "poster-small.png",
            args: r#"{"width": 320, "height": 160}"#,
            sample: poster,
            outcome: to(poster, Format::Png, 320, 160),
        },
        Job {
            title: "thumbnail, a preset of five lines of TOML, converted to WebP",
            operation: "thumbnail",
            source: Place::File,
            destination: Place::Web,
            file: "thumb.webp",
            stored: "thumb.webp",
            args: r#"{"format": "webp"}"#,
            sample: photo,
            outcome: to(photo, Format::WebP, 200, 200),
        },
        Job {
            title: "resize a PNG with transparency from a store to a store, as AVIF",
            operation: "resize",
            source: Place::Store,
            destination: Place::Store,
            file: "{$basename}-{$width}.avif",
            stored: "ball-200.avif",
            args: r#"{"width": 200, "height": 200, "format": "avif"}"#,
            sample: ball,
            outcome: to(ball, Format::Avif, 200, 200),
        },
        Job {
            title: "resize a JPEG into a store, as JPEG XL",
            operation: "resize",
            source: Place::Web,
            destination: Place::Store,
            file: "photo.jxl",
            stored: "photo.jxl",
            args: r#"{"width": 640, "height": 320, "format": "jxl"}"#,
            sample: photo,
            outcome: to(photo, Format::Jxl, 640, 320),
        },
        Job {
            title: "a request that is refused: the source is smaller than the result",
            operation: "resize",
            source: Place::Web,
            destination: Place::Web,
            file: "huge.png",
            stored: "huge.png",
            args: r#"{"width": 1600, "height": 1200}"#,
            sample: ball,
            outcome: Outcome::Code(203),
        },
    ]
}
