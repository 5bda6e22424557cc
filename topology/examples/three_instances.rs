//! Three instances share the work, and whichever is asked answers for every key, also once another has stopped:
//! `cargo run --example three_instances`, or as three processes on Kafka: `cargo run --example three_instances -- --kafka localhost:9092`
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology::dsl::Builder;
use topology::store::TimestampedKeyValue;
use topology::testing::Client;
use topology::{Broker, Engine, EngineError, EngineSettings, InProcessBroker, KafkaBroker, KafkaSettings, Millis};
use topology::{Queries, QueryError, Streams, Topic, Topology};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BALANCE: TimestampedKeyValue<String, i64> = TimestampedKeyValue::new("balance");
const ACCOUNTS: [&str; 6] = ["DE-1", "DE-2", "FR-1", "FR-2", "IT-1", "IT-2"];
const INSTANCES: [&str; 3] = ["a", "b", "c"];
const PATIENCE: Duration = Duration::from_secs(60);
/// When the last booking of each account was made.
const LAST_MS: Millis = Millis(2);

/// By account, in cents. Each run has topics of its own.
fn bookings(run: &str) -> Topic<String, i64> {
    Topic::named(&format!("bookings-{run}"))
}

fn balances(run: &str) -> Topic<String, i64> {
    Topic::named(&format!("balances-{run}"))
}

fn topology(run: &str) -> Result<Topology, EngineError> {
    let b = Builder::new(format!("three-instances-{run}"));
    let sums = b.stream(bookings(run)).group_by_key();
    let balance = sums.reduce(BALANCE.name(), |balance, booking| balance + booking);
    balance.to_stream().to_compacted(balances(run));
    b.build()
}

/// Starts an instance, and a server that answers `GET /<account>`; returns its address.
fn start(name: &'static str, run: &str, log: Arc<dyn Broker>) -> Result<(Engine, String), Failure> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?.to_string();
    let settings = EngineSettings {
        instance: name.to_owned(),
        partitions: ACCOUNTS.len() as u32,
        ..EngineSettings::default()
    };
    let streams = Streams::new(topology(run)?).broker(log).settings(settings);
    let engine = streams.address(address.clone()).start()?;
    let queries = engine.queries();
    std::thread::spawn(move || {
        for connection in server.incoming().flatten() {
            let queries = queries.clone();
            std::thread::spawn(move || serve(connection, &queries, name));
        }
    });
    Ok((engine, address))
}

fn serve(mut connection: TcpStream, queries: &Queries, name: &str) -> Result<(), Failure> {
    let mut lines = BufReader::new(&connection).lines();
    let request = lines.next().ok_or("no request")??;
    // The headers, up to an empty line.
    while !lines.next().ok_or("half a request")??.is_empty() {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match answer(path.trim_start_matches('/'), queries, name) {
        Ok(body) => ("200 OK", body),
        Err(error) => ("503 Service Unavailable", error.to_string()),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    connection.write_all(answer.as_bytes())?;
    Ok(())
}

/// What is known here of an account, or else at the instance that has it. Tasks may just be moving: then once more.
fn answer(account: &str, queries: &Queries, name: &str) -> Result<String, Failure> {
    let (own, is_forwarded) = match account.strip_prefix("here/") {
        Some(account) => (account.to_owned(), true),
        None => (account.to_owned(), false),
    };
    let begun = Instant::now();
    loop {
        let found = match queries.get(BALANCE, &own) {
            // A commit shows in the topic a moment before it does here.
            Ok(answer) => match answer.value.filter(|row| row.timestamp_ms == LAST_MS) {
                Some(row) => Ok(format!("{}.{:02} EUR, says {name}", row.value / 100, row.value % 100)),
                None => Err("not all of its bookings are known yet".into()),
            },
            Err(QueryError::Elsewhere(other)) if !is_forwarded => get(&other.address, &format!("here/{own}")),
            Err(error) => Err(error.into()),
        };
        match found {
            Err(_) if !is_forwarded && begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            found => return found,
        }
    }
}

/// `GET http://<address>/<path>`.
fn get(address: &str, path: &str) -> Result<String, Failure> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(response.into()),
    }
}

/// An instance, in this process or in one of its own.
enum Instance {
    Here(Box<Engine>),
    Process(Child),
}

impl Instance {
    fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => engine.stop(),
            // Its standard input ends: it says goodbye.
            Self::Process(mut child) => {
                drop(child.stdin.take());
                child.wait()?;
            }
        }
        Ok(())
    }
}

fn kafka(bootstrap: &str) -> Arc<dyn Broker> {
    let bootstrap = bootstrap.to_owned();
    Arc::new(KafkaBroker::new(KafkaSettings {
        bootstrap,
        ..KafkaSettings::default()
    }))
}

/// This program once more, as an instance.
fn spawn(name: &str, run: &str, bootstrap: &str) -> Result<(Instance, String), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--kafka", bootstrap, "--instance", name, run]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    let said = child.stdout.take().ok_or("no standard output")?;
    BufReader::new(said).read_line(&mut address)?;
    Ok((Instance::Process(child), address.trim().to_owned()))
}

/// Asks every instance for every account.
fn ask(instances: &[(&str, Instance, String)]) -> Result<(), Failure> {
    for account in ACCOUNTS {
        for (name, _, address) in instances {
            println!("{name}, asked for {account}: {}", get(address, account)?);
        }
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--kafka", bootstrap, "--instance", name, run] = arguments[..] {
        let name = INSTANCES.into_iter().find(|known| *known == name).ok_or("no such instance")?;
        let (engine, address) = start(name, run, kafka(bootstrap))?;
        println!("{address}");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        engine.stop();
        return Ok(());
    }
    let bootstrap = match arguments[..] {
        ["--kafka", bootstrap] => Some(bootstrap),
        [] => None,
        _ => return Err("usage: three_instances [--kafka HOST:PORT]".into()),
    };
    let run = std::process::id().to_string();
    let log = bootstrap.map_or_else(|| Arc::new(InProcessBroker::new()) as Arc<dyn Broker>, kafka);
    let mut instances = Vec::new();
    for name in INSTANCES {
        let (instance, address) = match bootstrap {
            Some(bootstrap) => spawn(name, &run, bootstrap)?,
            None => {
                let (engine, address) = start(name, &run, log.clone())?;
                (Instance::Here(Box::new(engine)), address)
            }
        };
        instances.push((name, instance, address));
    }

    let client = Client::new(log);
    for (at, account) in ACCOUNTS.iter().enumerate() {
        for (at_ms, cents) in [(Millis(1), 10_000), (LAST_MS, at as i64 * 100)] {
            client.send(bookings(&run), at_ms, &(*account).to_owned(), Some(&cents))?;
        }
    }
    client.read(balances(&run), 2 * ACCOUNTS.len(), PATIENCE)?;
    println!("Three instances:");
    ask(&instances)?;
    let (name, instance, _) = instances.remove(1);
    instance.stop()?;
    println!("{name} has stopped, and the others have its accounts:");
    ask(&instances)?;
    for (_, instance, _) in instances {
        instance.stop()?;
    }
    Ok(())
}
