//! Asks chronyd whether it has the clock in hand, as `chronyc tracking` does: one datagram each way over loopback.
//!
//! chronyd answers any local user, so this works where a sandbox denies adjtimex(2) and on 32 bits. It never waits: what
//! is asked at one look is read at the next, a second later. Nobody there, an answer that comes late or is none, a
//! chronyd with `cmdport 0`: all of that is "unknown". Root alone can bind the port, so nobody else can answer.
//!
//! The layout is that of `candm.h` of chrony, protocol version 6. What is looked at, numbers big-endian:
//!
//! ```text
//! request  version 0, type 1, command 4..6, sequence 8..12, zeros
//! reply    version 0, type 1, command 4..6, reply 6..8, status 8..10, sequence 16..20, reference 28..32, leap 54..56
//! ```
//! Both have 104 bytes: chronyd refuses a request that is shorter than its reply, so as not to amplify.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where chronyd answers unless it is told another `cmdport`.
pub const COMMAND_PORT: u16 = 323;

/// A request for the tracking report is as long as the report.
const PACKET_BYTES: usize = 104;

/// `PROTO_VERSION_NUMBER`.
const VERSION: u8 = 6;

/// `PKT_TYPE_CMD_REQUEST`, `PKT_TYPE_CMD_REPLY`.
const TYPE_REQUEST: u8 = 1;
const TYPE_REPLY: u8 = 2;

/// `REQ_TRACKING`, `RPY_TRACKING`, `STT_SUCCESS`.
const COMMAND_TRACKING: [u8; 2] = [0, 33];
const REPLY_TRACKING: [u8; 2] = [0, 5];
const STATUS_SUCCESS: [u8; 2] = [0, 0];

/// `LEAP_Unsynchronised` of `ntp.h`.
const LEAP_UNSYNCHRONISED: [u8; 2] = [0, 3];

/// No source yet, and `NTP_REFID_LOCAL`: with `local` chronyd hands its own time on though nothing has set it. It calls
/// itself synchronised then, tells the kernel that it is not, and `chronyc waitsync` waits on. So do we.
const REFERENCE_NONE: [u8; 4] = [0; 4];
const REFERENCE_LOCAL: [u8; 4] = [127, 127, 1, 1];

const COMMAND_AT: Range<usize> = 4..6;
const REQUEST_SEQUENCE_AT: Range<usize> = 8..12;
const REPLY_AT: Range<usize> = 6..8;
const STATUS_AT: Range<usize> = 8..10;
const REPLY_SEQUENCE_AT: Range<usize> = 16..20;
const REFERENCE_AT: Range<usize> = 28..32;
const LEAP_AT: Range<usize> = 54..56;

/// The chronyd of this machine.
#[derive(Debug)]
pub struct Chrony {
    server: SocketAddr,
    asked: Mutex<Option<Question>>,
}

impl Chrony {
    /// The one that answers on this port.
    pub fn at(port: u16) -> Self {
        Self { server: (Ipv4Addr::LOCALHOST, port).into(), asked: Mutex::default() }
    }

    /// Its answer to what was asked when this was last called; nothing where there is none. Asks again unless the answer
    /// was yes, which is all that anybody waits for.
    pub fn has_synchronised(&self) -> Option<bool> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = asked.take().and_then(|question| question.answer());
        if answer != Some(true) {
            *asked = Question::ask(self.server).ok();
        }
        answer
    }
}

/// One request under way. It has a socket of its own, so an answer that comes late is an answer to nobody.
#[derive(Debug)]
struct Question {
    socket: UdpSocket,
    sequence: [u8; 4],
}

impl Question {
    fn ask(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        let sequence = fastrand::u32(..).to_be_bytes();
        let mut request = [0; PACKET_BYTES];
        request[..2].copy_from_slice(&[VERSION, TYPE_REQUEST]);
        request[COMMAND_AT].copy_from_slice(&COMMAND_TRACKING);
        request[REQUEST_SEQUENCE_AT].copy_from_slice(&sequence);
        socket.send(&request)?;
        Ok(Self { socket, sequence })
    }

    fn answer(&self) -> Option<bool> {
        // A byte more than it may have: what is longer is cut by the kernel, and is none of ours.
        let mut packet = [0; PACKET_BYTES + 1];
        let length = self.socket.recv(&mut packet).ok()?;
        read(packet.get(..length)?, self.sequence)
    }
}

/// What a reply says, if it is one to this request.
fn read(reply: &[u8], sequence: [u8; 4]) -> Option<bool> {
    let is_ours = reply.len() == PACKET_BYTES
        && reply[..2] == [VERSION, TYPE_REPLY]
        && reply[COMMAND_AT] == COMMAND_TRACKING
        && reply[REPLY_AT] == REPLY_TRACKING
        && reply[STATUS_AT] == STATUS_SUCCESS
        && reply[REPLY_SEQUENCE_AT] == sequence;
    is_ours.then(|| {
        reply[LEAP_AT] != LEAP_UNSYNCHRONISED
            && reply[REFERENCE_AT] != REFERENCE_NONE
            && reply[REFERENCE_AT] != REFERENCE_LOCAL
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What chronyd 4.3 answered to sequence `deadbeef` while its clock followed an NTP server, as far as it is looked at.
    fn following() -> Vec<u8> {
        let mut reply = vec![0; PACKET_BYTES];
        reply[..20].copy_from_slice(&[6, 2, 0, 0, 0, 33, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
        reply[28..32].copy_from_slice(&[192, 0, 2, 1]);
        reply[32..36].copy_from_slice(&[192, 0, 2, 1]);
        reply[48..50].copy_from_slice(&[0, 1]);
        reply[52..56].copy_from_slice(&[0, 3, 0, 0]);
        reply
    }

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut reply = following();
        reply[at..at + bytes.len()].copy_from_slice(bytes);
        reply
    }

    const SEQUENCE: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

    #[test]
    fn a_reply_says_whether_a_source_has_set_the_clock() {
        assert_eq!(read(&following(), SEQUENCE), Some(true));
        assert_eq!(read(&with(54, &[0, 1]), SEQUENCE), Some(true), "a leap second is coming");
        assert_eq!(read(&with(54, &[0, 3]), SEQUENCE), Some(false));
        assert_eq!(read(&with(28, &[0; 4]), SEQUENCE), Some(false));
        assert_eq!(read(&with(28, &[127, 127, 1, 1]), SEQUENCE), Some(false), "its own time, which nothing has set");
    }

    #[test]
    fn what_is_no_reply_to_this_request_says_nothing() {
        let strange = [(0, 5), (1, 1), (5, 34), (7, 6), (9, 4), (16, 0), (19, 0)];
        for (at, byte) in strange {
            assert_eq!(read(&with(at, &[byte]), SEQUENCE), None, "byte {at}");
        }
        for length in 0..PACKET_BYTES {
            assert_eq!(read(&following()[..length], SEQUENCE), None, "{length} bytes");
        }
        assert_eq!(read(&[following(), vec![0]].concat(), SEQUENCE), None, "too long");
        fastrand::seed(7);
        for _ in 0..10_000 {
            let garbage: Vec<u8> = (0..fastrand::usize(..200)).map(|_| fastrand::u8(..)).collect();
            assert_eq!(read(&garbage, SEQUENCE), None);
        }
    }

    /// A chronyd that answers each request with what `reply` makes of its sequence.
    fn stand_in() -> (UdpSocket, Chrony) {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        server.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has a time-out");
        let port = server.local_addr().expect("a bound socket has a port").port();
        (server, Chrony::at(port))
    }

    fn answer(server: &UdpSocket, reply: impl FnOnce([u8; 4]) -> Vec<u8>) {
        let mut request = [0; 1_000];
        let (length, from) = server.recv_from(&mut request).expect("a request");
        assert_eq!(length, PACKET_BYTES, "chronyd refuses a request that is shorter than its reply");
        assert_eq!(request[..8], [6, 1, 0, 0, 0, 33, 0, 0]);
        let sequence = request[8..12].try_into().expect("four bytes");
        server.send_to(&reply(sequence), from).expect("over loopback a datagram is there when it is sent");
    }

    #[test]
    fn what_is_asked_at_one_look_is_read_at_the_next() {
        let (server, chrony) = stand_in();
        assert_eq!(chrony.has_synchronised(), None, "asked for the first time");
        answer(&server, |sequence| with(16, &sequence));
        assert_eq!(chrony.has_synchronised(), Some(true));
        assert_eq!(chrony.has_synchronised(), None, "a yes is not asked for again, and is not kept either");
    }

    #[test]
    fn one_that_is_silent_or_talks_nonsense_is_asked_again_and_heard_once_it_speaks() {
        let (server, chrony) = stand_in();
        assert_eq!(chrony.has_synchronised(), None);
        assert_eq!(chrony.has_synchronised(), None, "no answer yet: not waited for");
        let mut late = [0; 1_000];
        let (_, first) = server.recv_from(&mut late).expect("the first request");
        let sequence: [u8; 4] = late[8..12].try_into().expect("four bytes");
        // Its socket is gone: nobody hears it.
        server.send_to(&with(16, &sequence), first).ok();
        answer(&server, |_| b"nonsense".to_vec());
        assert_eq!(chrony.has_synchronised(), None);
        answer(&server, |sequence| with(16, &sequence.map(|byte| !byte)));
        assert_eq!(chrony.has_synchronised(), None, "an answer to somebody else");
        answer(&server, |_| Vec::new());
        assert_eq!(chrony.has_synchronised(), None);
        answer(&server, |_| vec![0xff; 60_000]);
        assert_eq!(chrony.has_synchronised(), None);
        answer(&server, |sequence| [&with(16, &sequence)[..54], &[0, 3], &[0; 48]].concat());
        assert_eq!(chrony.has_synchronised(), Some(false));
        answer(&server, |sequence| with(16, &sequence));
        assert_eq!(chrony.has_synchronised(), Some(true));
    }

    #[test]
    fn nobody_there_is_unknown() {
        let (server, chrony) = stand_in();
        drop(server);
        for _ in 0..3 {
            assert_eq!(chrony.has_synchronised(), None);
        }
    }
}
