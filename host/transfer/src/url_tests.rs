//! Tests of URL parsing, apart for length.

use proptest::prelude::*;

use super::*;

#[test]
fn known_schemes_case_insensitively() {
    assert_eq!(scheme_of("HTTP://x"), Some(Scheme::Http));
    assert_eq!(scheme_of("fTpS://x"), Some(Scheme::Ftps));
    assert_eq!(scheme_of("file:///x"), Some(Scheme::File));
    assert_eq!(scheme_of("http://host:notaport/"), Some(Scheme::Http));
    for unknown in ["sftp://x", "http", "", ":", "/a/b.png", " http://x", "httpx://x"] {
        assert_eq!(scheme_of(unknown), None, "{unknown:?}");
    }
}

#[test]
fn names_extensions_and_basenames() {
    let cases = [
        ("http://h/a/b.c.PNG?x=y.gif#z.jpg", "b.c.PNG", Some("PNG"), "b.c"),
        ("http://h/a%20b.png", "a%20b.png", Some("png"), "a%20b"),
        ("http://example.org", "", None, ""),
        ("http://example.org?x/y.png", "", None, ""),
        ("http://h/dir/", "", None, ""),
        ("file:///x/noext", "noext", None, "noext"),
        ("file:///x/dot.", "dot.", None, "dot"),
        ("/plain/path.gif", "path.gif", Some("gif"), "path"),
        ("ftp://u:p@h:2121/a.jpeg", "a.jpeg", Some("jpeg"), "a"),
    ];
    for (url, name, ext, base) in cases {
        assert_eq!((file_name(url), extension(url), basename(url)), (name, ext, base), "{url}");
    }
}

#[test]
fn the_form_syntax_is_that_of_0_2() {
    let forms = [
        ("http://127.0.0.1:8089/:1_result.png", "http://127.0.0.1:8089/", "1_result.png"),
        ("http://example.org:1.png", "http://example.org", "1.png"),
        ("HTTPS://h/p?q=a:b.png", "HTTPS://h/p?q=a", "b.png"),
    ];
    for (destination, page, name) in forms {
        assert_eq!(split_form(destination), Some((page, name)), "{destination}");
    }
    for plain in [
        "http://h/x.png",
        "http://h:8080",
        "http://h:8080/x.png",
        "http://h/x:",
        "http://h/:123",
        "ftp://h/:x.png",
    ] {
        assert_eq!(split_form(plain), None, "{plain}");
    }
    assert_eq!(destination_extension("http://example.org:1.png"), Some("png"));
    assert_eq!(destination_extension("http://example.org/x.gif?y"), Some("gif"));
}

#[test]
fn an_ftp_destination_may_be_a_host_and_a_name() {
    for (text, host, port, path) in [
        ("ftp://h.example:a.png", "h.example", 21, "a.png"),
        ("ftp://127.0.0.1:2121:a b.png", "127.0.0.1", 2121, "a b.png"),
        ("FTPS://ann:p%3Aw@h:2121:a.b.PNG", "h", 2121, "a.b.PNG"),
        ("ftp://[::1]:a.png", "[::1]", 21, "a.png"),
        ("ftp://h:a", "h", 21, "a"),
    ] {
        let (told, destination) = Destination::from_template(text, &Tags::default()).unwrap();
        let Destination::Ftp(url) = &destination else { panic!("{text}: {destination:?}") };
        assert_eq!(
            (url.host.to_string().as_str(), url.port, url.path.as_str()),
            (host, port, path),
            "{text}"
        );
        assert_eq!(told, text, "the client is told what it wrote");
        let stored = serde_json::to_string(&destination).unwrap();
        assert_eq!(serde_json::from_str::<Destination>(&stored).unwrap(), destination, "{stored}");
    }
    assert_eq!(destination_extension("ftp://h.example:a.PNG"), Some("PNG"));
    assert_eq!(destination_extension("ftp://h.example:2121/a.gif"), Some("gif"));
    // A port, a password, an address: no names of files.
    for plain in
        ["ftp://h:2121", "ftp://h:", "ftp://ann:pass.png@h", "ftp://[::1]", "ftp://:a.png", "ftp://h/d:a.png"]
    {
        assert_eq!(split_ftp(plain), None, "{plain}");
    }
    let tags = Tags { basename: Some("a:b"), extension: Some("png"), ..Tags::default() };
    let (told, destination) = Destination::from_template("ftp://h:{$basename}.{$ext}", &tags).unwrap();
    assert!(matches!(&destination, Destination::Ftp(url) if url.path == "a:b.png"), "{destination:?}");
    assert_eq!(told, "ftp://h:a:b.png");
}

#[test]
fn destinations_are_told_apart() {
    let form = Destination::parse("http://h/up:a.png").unwrap();
    assert!(
        matches!(form, Destination::Form { page, file_name } if page.path() == "/up" && file_name == "a.png")
    );
    assert!(matches!(Destination::parse("https://h/a.png"), Ok(Destination::Put { .. })));
    assert!(matches!(Destination::parse("ftps://h/a.png"), Ok(Destination::Ftp(url)) if url.secure));
    assert!(matches!(Destination::parse("file:///a.png"), Ok(Destination::File(_))));
}

#[test]
fn ftp_urls_follow_rfc_1738() {
    let FtpUrl { host, port, user, password, path, secure, .. } =
        FtpUrl::parse("ftps://a%40b:p%3Aw@h.example:2121/d/x%20y.png").unwrap();
    assert_eq!((user.as_str(), password.as_str(), path.as_str()), ("a@b", "p:w", "d/x y.png"));
    assert_eq!((host.to_string().as_str(), port, secure), ("h.example", 2121, true));
    assert_eq!(FtpUrl::parse("ftp://h/%2Fetc/x.png").unwrap().path, "/etc/x.png");
    let anonymous = FtpUrl::parse("ftp://h/x.png").unwrap();
    assert_eq!((anonymous.user.as_str(), anonymous.port), ("anonymous", 21));
}

#[test]
fn ftps_hosts_are_parsed_as_addresses() {
    for host in ["127.0.0.1", "2130706433", "0x7f.1"] {
        let url = FtpUrl::parse(&format!("ftps://{host}/x.png")).unwrap();
        assert_eq!(url.host, Host::<String>::Ipv4([127, 0, 0, 1].into()), "{host}");
    }
}

#[test]
fn ftp_urls_cannot_smuggle_commands() {
    for url in [
        "ftp://h/a%0D%0ADELE%20x",
        "ftp://u%0Ax:p@h/x.png",
        "ftp://u:p%0D@h/x.png",
        "ftp://h/x%00.png",
        "ftp://h/",
        "ftp://h/dir/",
        "ftp://h:99999/x.png",
        "ftp:///",
        "ftp://h/%ff.png",
    ] {
        assert_eq!(SourceUrl::parse(url).unwrap_err().kind(), TransferErrorKind::InvalidUrl, "{url}");
    }
}

#[test]
fn file_urls_are_decoded_and_cannot_climb() {
    let url = FileUrl::parse("file:///srv/a%20b/c.png?x#y").unwrap();
    assert_eq!(url.segments, ["srv", "a b", "c.png"]);
    assert_eq!(FileUrl::parse("FILE://LocalHost/x").unwrap().segments, ["x"]);
    assert_eq!(FileUrl::parse("file:/x").unwrap().segments, ["x"]);
    for url in [
        "file:///srv/../etc/passwd",
        "file:///srv/%2e%2E/x",
        "file:///srv/./x",
        "file:///srv//x",
        "file:///srv/",
        "file:///",
        "file://",
        "file:x",
        "file:///a%00b",
        "file:///a%2Fb",
    ] {
        assert_eq!(SourceUrl::parse(url).unwrap_err().kind(), TransferErrorKind::InvalidUrl, "{url}");
    }
}

#[test]
fn passwords_are_never_shown() {
    assert_eq!(redact("http://u:pw@h/x"), "http://u@h/x");
    assert_eq!(redact("http://u:pw@h:notaport/x"), "http://u@h:notaport/x");
    assert_eq!(redact("ftp://u:p/w@h/x"), "ftp://u@h/x");
    assert_eq!(redact("http://h/a@b:c"), "http://h/a@b:c");
    assert_eq!(redact("file:///a/b"), "file:///a/b");
    assert_eq!(redact("nonsense\n"), "nonsense\\n");
    assert!(!SourceUrl::parse("http://u:secret@h:bad/").unwrap_err().to_string().contains("secret"));
    assert!(!format!("{:?}", FtpUrl::parse("ftp://u:secret@h/x").unwrap()).contains("secret"));
}

proptest! {
    #[test]
    fn parsing_never_panics(url in ".{0,60}", scheme in "http|https|ftp|ftps|file") {
        for text in [url.clone(), format!("{scheme}:{url}"), format!("{scheme}://{url}")] {
            let _ = (SourceUrl::parse(&text), Destination::parse(&text), redact(&text));
            let name = file_name(&text);
            prop_assert!(!name.contains(['/', '?', '#']));
            prop_assert!(basename(&text).len() + extension(&text).map_or(0, str::len) <= name.len());
        }
    }

    #[test]
    fn a_file_url_never_holds_a_climbing_segment(path in "(/|%2e|%2E|\\.|%2f|%00|[a-z]){0,20}") {
        if let Ok(url) = FileUrl::parse(&format!("file:///{path}")) {
            for segment in &url.segments {
                let name = segment.to_str().unwrap();
                prop_assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']));
            }
        }
    }

    #[test]
    fn redaction_removes_the_password(
        user in "[a-z]{1,5}", password in "SEC[A-Z/@:?]{0,5}RET", rest in "[a-z:/0-9]{0,10}"
    ) {
        // A `/`, `?` or `#` ends the authority of a URL that parses; what follows is then path, not password.
        prop_assume!(!password.contains(['/', '?']));
        let url = format!("http://{user}:{password}@h{rest}");
        prop_assert!(!redact(&url).contains("RET"));
    }
}

#[test]
fn what_is_stored_is_read_back_whole() {
    for text in [
        "http://ann:secret@h.example/a%20b.png?token=x#f",
        "ftps://ann:p%3Aw@h.example:2121/d/x%20y.png",
        "ftp://h.example/%2Fetc/x.png",
        "file:///a/%FF%20b.png",
    ] {
        let source = SourceUrl::parse(text).unwrap();
        let stored = serde_json::to_string(&source).unwrap();
        assert_eq!(stored, format!("{text:?}"));
        assert_eq!(serde_json::from_str::<SourceUrl>(&stored).unwrap(), source);
        let destination = Destination::parse(text).unwrap();
        let stored = serde_json::to_string(&destination).unwrap();
        assert_eq!(serde_json::from_str::<Destination>(&stored).unwrap(), destination, "{stored}");
    }
    let form = Destination::parse("https://ann:secret@h.example/up:a:b.png").unwrap();
    let stored = serde_json::to_string(&form).unwrap();
    assert!(stored.contains("secret"), "{stored}");
    assert_eq!(serde_json::from_str::<Destination>(&stored).unwrap(), form);
    for broken in ["\"gopher://h/x\"", "\"ftp://h/\"", "\"file:///a/../b\""] {
        let error = serde_json::from_str::<SourceUrl>(broken).unwrap_err();
        assert!(!error.to_string().is_empty(), "{broken}");
    }
    for broken in ["{\"ftp\":\"gopher://h/x\"}", "{\"ftp\":\"file:///x\"}", "{\"file\":\"http://h/x\"}"] {
        assert!(serde_json::from_str::<Destination>(broken).is_err(), "{broken}");
    }
    for broken in [
        "{\"put\":{\"url\":\"http://ann:secret@h:notaport/x?t=secret\"}}",
        "{\"form\":{\"page\":\"http://ann:secret@[h/\",\"file_name\":\"x\"}}",
        "{\"ftp\":\"ftp://ann:secret@h:notaport/x\"}",
    ] {
        let error = serde_json::from_str::<Destination>(broken).unwrap_err().to_string();
        assert!(error.contains("ann") && !error.contains("secret"), "{error}");
    }
    let error = serde_json::from_str::<HttpUrl>("\"ftp://ann:secret@h/x\"").unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
    assert!(HttpUrl::parse("https://h/x").is_ok() && HttpUrl::parse("ftp://h/x").is_err());
}
