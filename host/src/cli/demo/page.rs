//! `demo.html`: the jobs with their pictures side by side. One file beside its pictures, without scripts or anything from
//! the network, so that it can be opened from the disk.

use super::found::Found;
use super::run::Report;
use super::samples::Sample;
use super::screen::{amount, milliseconds};

/// The directory of what was found at the destinations, beside the page.
pub(super) const PICTURES: &str = "pictures";
/// The directory of the sources, which is also where `file` URLs point.
pub(super) const FILES: &str = "files";
const STYLE: &str = include_str!("page.css");

/// What the page says besides the jobs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// How many jobs are right.
    pub(super) summary: &'a str,
    /// The preset's lines of configuration.
    pub(super) preset: &'a str,
    /// Commands to go on with.
    pub(super) next: &'a str,
}

/// The whole page.
pub(super) fn render(frame: &Frame, reports: &[Report]) -> String {
    let jobs: String = reports.iter().enumerate().map(|(i, report)| job(i + 1, report)).collect();
    let [summary, preset, next] = [frame.summary, frame.preset, frame.next].map(escape);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>imgserve demo</title>\n<style>\n{STYLE}</style>\n<main>\n\
         <h1>imgserve demo</h1>\n<p>{summary}. Each request below went over HTTP to an imgserve on this machine, which \
         put a placeholder of the final size at the destination, replied, did the work in a worker process, and \
         replaced the placeholder by the result.</p>\n{jobs}\
         <section><h2>The preset</h2><p><code>thumbnail</code> is no code, only configuration:</p>\
         <h3>imgserve.toml</h3><pre>{preset}</pre></section>\n\
         <section><h2>Go on</h2><p>Start your own server, and send it a request. host/docs tells the rest: the API, \
         and how to write an operation.</p><h3>Commands</h3><pre>{next}</pre></section>\n</main>\n</html>\n"
    )
}

/// The name of a file found at the destination of job `number`, under [`PICTURES`].
pub(super) fn file_name(number: usize, what: &str, found: &Found) -> String {
    let extension = found.format.extensions().first().copied().unwrap_or("bin");
    format!("{number}-{what}.{extension}")
}

fn job(number: usize, report: &Report) -> String {
    let job = &report.job;
    let (class, verdict) = match &report.verdict {
        Ok(text) => ("", format!("✓ {text}")),
        Err(text) => (" wrong", format!("✗ wrong: {text}")),
    };
    format!(
        "<section>\n<div class=\"head\"><h2>{number}. {}</h2><span class=\"way\">{} → {}</span>\
         <span class=\"verdict{class}\">{}</span></div>\n{}{}{}</section>\n",
        escape(job.title),
        job.source.source(),
        job.destination.destination(),
        escape(&verdict),
        pictures(number, report),
        times(report),
        talk(report)
    )
}

fn pictures(number: usize, report: &Report) -> String {
    let found = [("placeholder", &report.placeholder), ("result", &report.result)];
    let found = found.into_iter().filter_map(|(what, found)| {
        let found = found.as_ref()?;
        let path = format!("{PICTURES}/{}", file_name(number, what, found));
        let Found { format, width, height, bytes, .. } = found;
        Some(figure(what, &path, format.name(), (*width, *height), bytes.len()))
    });
    let Sample { name, format, width, height, bytes, .. } = report.job.sample;
    let source = figure("source", &format!("{FILES}/{name}"), format.name(), (*width, *height), bytes.len());
    format!("<div class=\"pictures\">\n{source}{}</div>\n", found.collect::<String>())
}

fn figure(what: &str, path: &str, format: &str, (width, height): (u32, u32), bytes: usize) -> String {
    let path = escape(path);
    format!(
        "<figure><a href=\"{path}\"><img src=\"{path}\" alt=\"{what}\"></a>\
         <figcaption><b>{what}</b> {format}, {width}×{height}, {}</figcaption></figure>\n",
        amount(bytes)
    )
}

/// A bar from the POST to the result, its first part up to the reply.
fn times(report: &Report) -> String {
    let (Some(reply), Some(result)) = (report.reply_after(), &report.result) else { return String::new() };
    let share = 100.0 * reply.as_secs_f64() / result.after.as_secs_f64().max(1e-6);
    let placeholder =
        report.placeholder.as_ref().map(|found| format!("placeholder after {}, ", milliseconds(found.after)));
    format!(
        "<div class=\"time\"><i style=\"width:{:.1}%\"></i><i></i></div>\
         <div class=\"times\">{}reply after {}, result after {}</div>\n",
        share.min(100.0),
        placeholder.unwrap_or_default(),
        milliseconds(reply),
        milliseconds(result.after)
    )
}

fn talk(report: &Report) -> String {
    let mut reply = report.reply.as_ref().map(|reply| reply.text.trim_end().to_owned()).unwrap_or_default();
    if let Some(error) = report.reply.as_ref().and_then(|reply| reply.error.as_deref()) {
        reply += &format!("\n\nX-Imgserve-Error: {error}");
    }
    format!(
        "<div class=\"talk\"><div><h3>POST /</h3><pre>{}</pre></div><div><h3>Reply</h3><pre>{}</pre></div></div>\n",
        escape(&report.request),
        escape(&reply)
    )
}

/// Text as HTML, in an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">'&amp;"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;");
    }
}
