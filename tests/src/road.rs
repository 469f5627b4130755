//! What stands between an agent and its broker: a front that looks at the handshake, proxies, and a line that counts.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::patience::wait_for;
use crate::places::{self, free_port};
use crate::process::{Process, leashed};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A program that listens on a port.
#[derive(Debug)]
pub struct Stop {
    port: u16,
    process: Process,
}

impl Stop {
    /// nginx, which looks at the handshake without being part of it, and passes on to the broker at `behind` only those
    /// who offer `alpn`: what stands before AWS IoT Core on port 443. It writes a line a connection.
    pub fn nginx(dir: &Path, alpn: &str, behind: u16) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let (port, shown) = (free_port(), dir.display());
        let module = places::debian("usr/lib/nginx/modules/ngx_stream_module.so");
        let text = format!(
            "load_module {};\n\
             worker_processes 1; daemon off; pid {shown}/pid; error_log stderr warn;\n\
             events {{ worker_connections 64; }}\n\
             stream {{\n\
               log_format seen 'alpn=[$ssl_preread_alpn_protocols] sni=[$ssl_preread_server_name]';\n\
               map $ssl_preread_alpn_protocols $way {{ ~\\b{alpn}\\b 127.0.0.1:{behind}; default 127.0.0.1:9; }}\n\
               server {{ listen 127.0.0.1:{port}; ssl_preread on; proxy_pass $way; access_log {shown}/seen seen; }}\n\
             }}\n",
            module.display()
        );
        fs::write(dir.join("nginx.conf"), text).expect("write into the story's folder");
        let conf = dir.join("nginx.conf");
        Self::started(
            &places::debian("usr/sbin/nginx"),
            &["-c", conf.to_str().expect("a path of our own"), "-e", "stderr"],
            dir,
            port,
        )
    }

    /// tinyproxy: HTTP CONNECT to `open_to` and no other port, for `login` (user, password) if there is one.
    pub fn tinyproxy(dir: &Path, open_to: u16, login: Option<(&str, &str)>) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let port = free_port();
        let login = login.map(|(user, password)| format!("BasicAuth {user} {password}\n")).unwrap_or_default();
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nLogLevel Connect\nConnectPort {open_to}\n{login}"
        );
        let conf = dir.join("tinyproxy.conf");
        fs::write(&conf, text).expect("write into the story's folder");
        Self::started(Path::new("tinyproxy"), &["-d", "-c", conf.to_str().expect("a path of our own")], dir, port)
    }

    /// microsocks: SOCKS 5, for `login` if there is one.
    pub fn microsocks(dir: &Path, login: Option<(&str, &str)>) -> Self {
        fs::create_dir_all(dir).expect("make a folder in the story's folder");
        let port = free_port();
        let text = port.to_string();
        let mut args = vec!["-i", "127.0.0.1", "-p", &text];
        if let Some((user, password)) = login {
            args.extend(["-u", user, "-P", password]);
        }
        Self::started(Path::new("microsocks"), &args, dir, port)
    }

    fn started(program: &Path, args: &[&str], dir: &Path, port: u16) -> Self {
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut command = leashed(program);
        command.args(args);
        let process = Process::start(name, command, &dir.join("log"));
        wait_for(
            &format!("{name} to listen"),
            START_LIMIT,
            || process.log_tail(),
            || TcpStream::connect(("127.0.0.1", port)).ok(),
        );
        Self { port, process }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that it wrote.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// A line that carries bytes as they are, counts them, and can be cut.
#[derive(Debug)]
pub struct Line {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Line {
    /// A line to a port of this machine.
    pub fn to(behind: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the kernel's choice");
        let port = listener.local_addr().expect("bound").port();
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        // It ends with the test: nothing of it outlives the process.
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", behind)) else { continue };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                carry(&near, &far, &shared, |counts| &counts.up);
                carry(&far, &near, &shared, |counts| &counts.down);
                let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.extend([near, far]);
            }
        });
        Self { port, counts }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections it has carried.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes of TCP payload it has carried: to the broker, and from it.
    pub fn bytes(&self) -> (u64, u64) {
        (self.counts.up.load(Ordering::Relaxed), self.counts.down.load(Ordering::Relaxed))
    }

    /// Ends every connection.
    pub fn cut(&self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            // One that has ended already is as cut as it can be.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn carry(from: &TcpStream, to: &TcpStream, counts: &Arc<Counts>, count: fn(&Counts) -> &AtomicU64) {
    let (Ok(mut from), Ok(mut to), counts) = (from.try_clone(), to.try_clone(), counts.clone()) else { return };
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            count(&counts).fetch_add(u64::try_from(length).unwrap_or_default(), Ordering::Relaxed);
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        // The other side may have gone first.
        to.shutdown(Shutdown::Write).ok();
    });
}
