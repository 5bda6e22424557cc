//! The registry over HTTP while it, or what stands before it, misbehaves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wire::{Codec, HttpRegistry, Registry, RegistryError, Wire, WireError};

/// What a server answers, and how many bytes of the body it leaves out.
#[derive(Clone)]
struct Answer(&'static str, &'static str, usize);

const SCHEMA: Answer = Answer("200 OK", r#"{"schema":"\"long\""}"#, 0);
const NOT_FOUND: Answer = Answer("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#, 0);
const HTML: &str = "<html><body>one moment, please</body></html>";

/// A server that gives these answers one after another, and the last for good.
struct Server {
    url: String,
    /// Methods and paths that were asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn answering(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = asked.clone();
        let mut answers: VecDeque<Answer> = answers.iter().cloned().collect();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answers[0].clone();
                if answers.len() > 1 {
                    answers.pop_front();
                }
                told.lock().unwrap().push(serve(stream.unwrap(), &answer));
            }
        });
        Self { url, asked }
    }

    fn registry(&self) -> HttpRegistry {
        HttpRegistry::new(&self.url).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, Answer(status, body, left_out): &Answer) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    lines.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    lines.read_exact(&mut vec![0; length]).unwrap();
    let sent = &body[..body.len() - left_out];
    let head = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close",
        body.len()
    );
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{sent}");
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    let (asked, _) = first.rsplit_once(' ').unwrap();
    asked.split('?').next().unwrap().to_owned()
}

/// Every fault, three times: a call gives up after as many attempts.
fn faults() -> Vec<(&'static str, Answer)> {
    vec![
        ("a page of a proxy", Answer("200 OK", HTML, 0)),
        ("a proxy's 404", Answer("404 Not Found", HTML, 0)),
        (
            "its own fault",
            Answer("500 Internal Server Error", r#"{"error_code":50001,"message":"no"}"#, 0),
        ),
        ("a fault with a page", Answer("500 Internal Server Error", HTML, 0)),
        ("not yet started", Answer("503 Service Unavailable", "", 0)),
        ("half an answer", Answer("200 OK", SCHEMA.1, 7)),
        ("another answer", Answer("200 OK", "{}", 0)),
    ]
}

#[test]
fn a_passing_fault_is_asked_again_and_never_kept() {
    for (name, fault) in faults() {
        let server = Server::answering(&[fault.clone(), fault.clone(), fault, SCHEMA]);
        let registry = server.registry();
        let error = registry.by_id(7).unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable(_)), "{name}: {error}");
        assert_eq!(server.asked(), ["GET /schemas/ids/7"; 3], "{name}");
        assert_eq!(&*registry.by_id(7).unwrap(), "\"long\"", "{name}");
        // What is found is kept.
        registry.by_id(7).unwrap();
        assert_eq!(server.asked().len(), 4, "{name}");
    }
}

#[test]
fn one_fault_is_not_even_told() {
    for (name, fault) in faults() {
        let server = Server::answering(&[fault, SCHEMA]);
        assert_eq!(&*server.registry().by_id(7).unwrap(), "\"long\"", "{name}");
    }
}

#[test]
fn a_registration_outlives_a_fault_too() {
    for (name, fault) in faults() {
        let server = Server::answering(&[fault, Answer("200 OK", r#"{"id":3}"#, 0)]);
        assert_eq!(server.registry().register("s", "\"long\"").unwrap(), 3, "{name}");
    }
}

#[test]
fn that_there_is_none_is_asked_again_each_time() {
    let server = Server::answering(&[NOT_FOUND, NOT_FOUND, SCHEMA]);
    let codec = Codec::reader(Arc::new(server.registry()));
    for _ in 0..2 {
        let error = Number::decode(&[0, 0, 0, 0, 7, 2], &codec).unwrap_err();
        assert!(matches!(error, WireError::UnknownSchema { id: 7 }), "{error}");
        assert!(error.is_unknown_schema() && !error.is_transient());
    }
    assert_eq!(Number::decode(&[0, 0, 0, 0, 7, 2], &codec).unwrap(), Number(1));
    assert_eq!(server.asked().len(), 3);
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Number(i64);

wire::avro_wire!(Number, "\"long\"");

const GUID: [u8; 17] = [
    1, 0x89, 0x79, 0x1b, 0xbc, 0x6f, 0x41, 0x4a, 0x6b, 0x8a, 0x5a, 0xf6, 0x2f, 0x1a, 0x2b, 0x3c, 0x4d,
];

#[test]
fn a_header_names_the_schema_by_id_or_guid() {
    let server = Server::answering(&[SCHEMA]);
    let codec = Codec::reader(Arc::new(server.registry()));
    for _ in 0..2 {
        let framed = codec.framed(&GUID, &[4]).unwrap();
        assert_eq!(Number::decode(&framed, &codec).unwrap(), Number(2));
        let framed = codec.framed(&[0, 0, 0, 0, 9], &[6]).unwrap();
        assert_eq!(Number::decode(&framed, &codec).unwrap(), Number(3));
    }
    assert_eq!(
        server.asked(),
        [
            "GET /schemas/guids/89791bbc-6f41-4a6b-8a5a-f62f1a2b3c4d",
            "GET /schemas/ids/9"
        ]
    );
    for other in [&[][..], &[7], &[0, 1, 2], &GUID[..9]] {
        let error = codec.framed(other, &[4]).unwrap_err();
        assert!(matches!(error, WireError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_registry_that_knows_no_guids_says_so() {
    for nothing in [NOT_FOUND, Answer("404 Not Found", HTML, 0)] {
        let server = Server::answering(&[nothing]);
        let error = Codec::reader(Arc::new(server.registry())).framed(&GUID, &[4]).unwrap_err();
        assert!(error.is_unknown_schema(), "{error}");
        assert!(error.to_string().contains("89791bbc-6f41-4a6b-8a5a-f62f1a2b3c4d"), "{error}");
    }
}

#[test]
fn other_framings_are_told() {
    let server = Server::answering(&[SCHEMA]);
    let codec = Codec::reader(Arc::new(server.registry()));
    for (bytes, says) in [
        (&b""[..], "malformed: nothing where"),
        (b"\0\0\0", "malformed: 3 bytes are too few"),
        (br#"{"op":"c"}"#, "0x7b, not with 0x00 and a schema's id: JSON?"),
        (b"hello", "0x68, not with 0x00 and a schema's id: text?"),
        (&GUID, "0x01, not with 0x00 and a schema's id: a schema's GUID?"),
        (&[0xc3, 1, 9, 9, 9], "Avro's single-object encoding?"),
        (b"Obj\x01abc", "an Avro file?"),
        (&[0xff], "it starts with 0xff, not with 0x00 and a schema's id"),
    ] {
        let error = Number::decode(bytes, &codec).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
