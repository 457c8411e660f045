//! The HTTP form upload: fetch the page, fill in its form, post it; or, where there is no such form, post to the page
//! itself, as imgserve 0.2 did.

use imgserve_base::secret::redact;
use reqwest::header::{CONTENT_TYPE, HeaderMap, REFERER};
use reqwest::{Method, Response};
use url::Url;

use super::body::{Entry, FilePart, Upload, Value, header_value};
use super::clock::Clock;
use super::config::MAX_FORM_PAGE;
use super::error::{TransferError, TransferErrorKind};
use super::html::{NoAction, UploadForm, fill_form};
use super::http::{Call, Http, Session, success};

/// The most characters of an action that are shown.
const MAX_SHOWN: usize = 200;

/// Uploads `file` through the form on `page` that has a file input named `field`.
pub(super) async fn upload(
    http: &Http,
    clock: Clock,
    page: Url,
    field: &str,
    file: FilePart,
) -> Result<(), TransferError> {
    let mut session = Session::new(http, clock);
    let call = match find_form(&mut session, &page, field, &file).await? {
        Some((found_at, form)) => submission(&found_at, form)?,
        None => {
            let entry = Entry { name: field.to_owned(), value: Value::File(file) };
            post(page, HeaderMap::new(), vec![entry])?
        }
    };
    let response = success(session.send(call).await?)?;
    session.drain(response).await;
    Ok(())
}

/// The filled-in form and the URL it was found at, or none if the page is no HTML or has no such form.
async fn find_form(
    session: &mut Session<'_>,
    page: &Url,
    field: &str,
    file: &FilePart,
) -> Result<Option<(Url, UploadForm)>, TransferError> {
    let response = match session.send(Call::get(page.clone())).await {
        Ok(response) => response,
        // A server that takes only POST may answer GET with anything, even by hanging up.
        Err(error) if error.kind() == TransferErrorKind::Protocol => return Ok(None),
        Err(error) => return Err(error),
    };
    if !response.status().is_success() || !is_html(&response) {
        return Ok(None);
    }
    let found_at = response.url().clone();
    let (html, whole) = session.read_up_to(response, MAX_FORM_PAGE).await?;
    if !whole {
        return Ok(None);
    }
    let (base, field, file) = (found_at.clone(), field.to_owned(), file.clone());
    // Parsing a hostile page may take long.
    let parsing = tokio::task::spawn_blocking(move || fill_form(&html, &base, &field, &file));
    let form = session.clock.total(parsing).await?.map_err(|error| {
        TransferError::new(TransferErrorKind::Io, "parsing the form's page failed").with_source(error)
    })?;
    // The page's own URL is no way out: the form is there, and leads elsewhere.
    let form = form.map_err(|NoAction(action)| {
        let action: String = action.chars().take(MAX_SHOWN).collect();
        let message = format!("the upload form's action is no URL: {:?}", redact(&action));
        TransferError::new(TransferErrorKind::Protocol, message).at(found_at.as_str())
    })?;
    Ok(form.map(|form| (found_at, form)))
}

/// A page that does not say what it is gets the benefit of the doubt.
fn is_html(response: &Response) -> bool {
    let Some(content_type) = response.headers().get(CONTENT_TYPE) else { return true };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

fn submission(found_at: &Url, form: UploadForm) -> Result<Call, TransferError> {
    let mut headers = HeaderMap::new();
    // Sites guard their forms against forgery by Referer; another origin has no business knowing the page.
    if found_at.origin() == form.action.origin() {
        let mut referer = found_at.clone();
        referer.set_fragment(None);
        headers.insert(REFERER, header_value(referer.as_str())?);
    }
    post(form.action, headers, form.entries)
}

fn post(url: Url, headers: HeaderMap, entries: Vec<Entry>) -> Result<Call, TransferError> {
    Ok(Call { method: Method::POST, headers, upload: Some(Upload::form(entries)?), ..Call::get(url) })
}
