//! A server that is none: it answers each command as the test wants. For tests of clients.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What to answer a command, as RESP2 bytes; `None`: closes the connection.
pub type Answers = dyn Fn(&[String]) -> Option<String> + Send + Sync;

/// Where it listens. It goes on until the process ends.
pub fn server(
    answers: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answers: Arc<Answers> = Arc::new(answers);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            thread::spawn(move || serve(stream, &*answers));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answers: &Answers) {
    stream.set_nodelay(true).expect("a socket");
    let mut requests = BufReader::new(stream.try_clone().expect("a copy"));
    while let Some(words) = request(&mut requests) {
        match answers(&words) {
            Some(reply) if stream.write_all(reply.as_bytes()).is_ok() => {}
            _ => return,
        }
    }
}

fn request(from: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(from, '*')?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(from, '$')? + 2];
            from.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            String::from_utf8(word).ok()
        })
        .collect()
}

fn number(from: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.strip_prefix(kind)?.trim_end().parse().ok()
}
