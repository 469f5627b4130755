//! A meter on a TCP connection: what goes through it, both ways, is counted as the link's owner would pay for it, less
//! what TCP and IP add.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A meter before a server on loopback. Its threads end with the process.
#[derive(Debug)]
pub struct Meter {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl Meter {
    /// Listens on a port of its own, and passes everything on to `server_port`.
    pub fn before(server_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = bytes.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) {
                    couple(&client, &server, &counter);
                    couple(&server, &client, &counter);
                }
            }
        });
        Ok(Self { port, bytes })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has gone through so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

fn couple(from: &TcpStream, to: &TcpStream, counter: &Arc<AtomicU64>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let counter = counter.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            counter.fetch_add(u64::try_from(count).expect("64 bits"), Ordering::Release);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Whoever ends it ends both ways; that the other end is gone already is no news.
        to.shutdown(Shutdown::Both).ok();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_both_ways_is_counted() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let meter = Meter::before(server.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", meter.port())).unwrap();
        client.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        let (mut peer, _) = server.accept().unwrap();
        peer.read_exact(&mut heard).unwrap();
        peer.write_all(b"yes").unwrap();
        client.read_exact(&mut heard[..3]).unwrap();
        assert_eq!((meter.bytes(), &heard), (8, b"yeslo"));
    }
}
