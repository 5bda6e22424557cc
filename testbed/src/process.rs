//! One server's process: started, killed, paused, and never left behind.
//!
//! A test that panics drops its testbed, which kills the servers. A test process that is itself killed drops nothing; so
//! each server asks the kernel to be killed when its parent ends (`PR_SET_PDEATHSIG`, set by `setpriv` of util-linux,
//! which then becomes the server). The kernel means the parent *thread* by that: a server started from a thread of some
//! async runtime would die with the runtime. All servers are therefore started by one thread that ends with the process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::TestbedError;
use crate::error::{LogTail, io};
use crate::proc_table::{Identity, descendants};

/// How long a process that was killed may take to be gone; a large heap takes a moment to be freed.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// When a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// With the process that started it, at the latest.
    Starter,
    /// When it is told to; a pid file says which process it is.
    Detached,
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The server's name, for messages and for its log and pid file.
    pub(crate) name: &'static str,
    pub(crate) exe: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    /// Whom to run as; `None` is whoever runs the test.
    pub(crate) user: Option<String>,
    /// Where its log and its pid file are, and what its working directory is.
    pub(crate) folder: PathBuf,
    pub(crate) lifetime: Lifetime,
}

impl Program {
    pub(crate) fn new(name: &'static str, exe: &Path, folder: &Path, lifetime: Lifetime) -> Self {
        Self {
            name,
            exe: exe.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            folder: folder.to_owned(),
            lifetime,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    /// A detached server of this name that an earlier process has started.
    fn left_running(&self) -> Option<Identity> {
        match self.lifetime {
            Lifetime::Detached => Identity::from_file(&self.pid_file()).filter(Identity::is_alive),
            Lifetime::Starter => None,
        }
    }

    /// The last lines of the log.
    pub(crate) fn tail(&self) -> LogTail {
        let path = self.log();
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        let lines = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        LogTail { path, lines }
    }

    /// Runs it to its end, as the same user and with the same log: for the tools that prepare a server's data.
    pub(crate) fn run(&self) -> Result<(), TestbedError> {
        let status = self.command()?.status().map_err(io(format!("run {}", self.exe.display())))?;
        if status.success() {
            return Ok(());
        }
        Err(TestbedError::Ended {
            server: self.name,
            how: status.to_string(),
            log: self.tail(),
        })
    }

    fn command(&self) -> Result<Command, TestbedError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(io(format!("write {}", self.log().display())))?;
        let both = log.try_clone().map_err(io("share the log file"))?;
        let mut words: Vec<&str> = match self.lifetime {
            Lifetime::Starter => vec!["setpriv", "--pdeathsig", "KILL"],
            // A session of its own, so that closing the terminal does not end it.
            Lifetime::Detached => vec!["setsid"],
        };
        if let Some(user) = &self.user {
            if self.lifetime == Lifetime::Detached {
                words.push("setpriv");
            }
            words.extend(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        if self.lifetime == Lifetime::Starter {
            // A terminal's Ctrl-C is for the test; its end is what ends the servers.
            command.process_group(0);
        }
        command
            .arg("--")
            .arg(&self.exe)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both);
        Ok(command)
    }
}

/// A server's process, running or not. Signals may come from any thread.
#[derive(Debug)]
pub(crate) struct Process {
    program: Program,
    running: Mutex<Option<Running>>,
}

/// A process that was started here, or found by its pid file.
#[derive(Debug)]
struct Running {
    identity: Identity,
    child: Option<Child>,
}

impl Process {
    /// Nothing runs yet, except for a detached server that an earlier call has left running.
    pub(crate) fn new(program: Program) -> Self {
        let running = program.left_running();
        Self {
            program,
            running: Mutex::new(running.map(|identity| Running { identity, child: None })),
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Starts it, unless it runs.
    pub(crate) fn start(&self) -> Result<(), TestbedError> {
        let mut running = self.lock();
        if running.as_mut().is_some_and(Running::is_alive) {
            return Ok(());
        }
        let child = spawn(self.program.command()?).map_err(io(format!("start {}", self.program.exe.display())))?;
        let identity = Identity::of(child.id()).map_err(io(format!("look at {}", self.program.name)))?;
        if self.program.lifetime == Lifetime::Detached {
            identity
                .to_file(&self.program.pid_file())
                .map_err(io(format!("write {}", self.program.pid_file().display())))?;
        }
        *running = Some(Running {
            identity,
            child: Some(child),
        });
        Ok(())
    }

    /// The process's id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let mut running = self.lock();
        let running = running.as_mut()?;
        running.is_alive().then(|| running.identity.pid())
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&self) -> Result<(), TestbedError> {
        let mut running = self.lock();
        let how = match running.as_mut() {
            None => "it was not started, or was stopped".to_owned(),
            Some(running) => {
                if running.is_alive() {
                    return Ok(());
                }
                running.how()
            }
        };
        Err(TestbedError::Ended {
            server: self.program.name,
            how,
            log: self.program.tail(),
        })
    }

    /// SIGKILL to it and all its children, and waits until they are gone: as if its machine had lost power, except that
    /// what it has written stays written.
    pub(crate) fn kill(&self) -> Result<(), TestbedError> {
        let Some(mut running) = self.lock().take() else {
            return Ok(());
        };
        running.kill(self.program.name)?;
        let _ = std::fs::remove_file(self.program.pid_file());
        Ok(())
    }

    /// This signal to it alone, then waits; SIGKILL if it takes longer than `grace`.
    pub(crate) fn stop(&self, signal: Signal, grace: Duration) -> Result<(), TestbedError> {
        let Some(mut running) = self.lock().take() else {
            return Ok(());
        };
        running.signal(Signal::SIGCONT);
        let _ = kill(Pid::from_raw(running.identity.pid() as i32), signal);
        if running.wait_gone(grace, self.program.name).is_err() {
            running.kill(self.program.name)?;
        }
        let _ = std::fs::remove_file(self.program.pid_file());
        Ok(())
    }

    /// SIGSTOP to it and all its children: it holds its connections and answers nothing.
    pub(crate) fn pause(&self) {
        if let Some(running) = self.lock().as_ref() {
            running.signal(Signal::SIGSTOP);
        }
    }

    /// Lets it go on after a pause.
    pub(crate) fn resume(&self) {
        if let Some(running) = self.lock().as_ref() {
            running.signal(Signal::SIGCONT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.program.lifetime == Lifetime::Starter {
            let _ = self.kill();
        }
    }
}

impl Running {
    fn is_alive(&mut self) -> bool {
        // A child that has ended stays in the process table until it is waited for.
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => self.identity.is_alive(),
        }
    }

    fn how(&mut self) -> String {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => status.to_string(),
            _ => "exit status unknown".to_owned(),
        }
    }

    /// To all at once: children first hear of it when the parent does.
    fn signal(&self, signal: Signal) {
        if !self.identity.is_alive() {
            return;
        }
        let pid = self.identity.pid();
        for pid in std::iter::once(pid).chain(descendants(pid)) {
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// Children are waited for as well: they may hold a port or a memory segment that the next start needs.
    fn kill(&mut self, server: &'static str) -> Result<(), TestbedError> {
        let children: Vec<Identity> = descendants(self.identity.pid()).into_iter().flat_map(Identity::of).collect();
        self.signal(Signal::SIGKILL);
        self.wait_gone(GONE_WITHIN, server)?;
        let started = Instant::now();
        while children.iter().any(Identity::is_alive) && started.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn wait_gone(&mut self, limit: Duration, server: &'static str) -> Result<(), TestbedError> {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() > limit {
                return Err(TestbedError::Unexpected {
                    server,
                    reason: format!("process {} has not ended after {limit:?}", self.identity.pid()),
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Starts a child from the thread that lives as long as the process.
fn spawn(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::SyncSender<std::io::Result<Child>>);
    static STARTER: LazyLock<mpsc::SyncSender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::sync_channel::<Order>(16);
        std::thread::Builder::new()
            .name("testbed-starter".to_owned())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        orders
    });
    let (answer, result) = mpsc::sync_channel(1);
    STARTER.send((command, answer)).map_err(std::io::Error::other)?;
    result.recv().map_err(std::io::Error::other)?
}

/// Writes a server's configuration file.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TestbedError> {
    std::fs::write(path, text).map_err(io(format!("write {}", path.display())))
}
