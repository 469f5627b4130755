//! What stands between an agent and its broker: a front that looks at the handshake and proxies.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
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
