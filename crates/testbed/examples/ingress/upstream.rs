//! The app behind every proxy: a thread per connection, and as little work as possible.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

/// `GET /` answers a kibibyte, `GET /bytes/N` N bytes; what is posted is read and counted; a WebSocket is an echo.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::Builder::new().stack_size(256 * 1024).spawn(move || converse(stream)).expect("a thread");
        }
    });
    Ok(address)
}

#[derive(Default)]
struct Head {
    line: String,
    length: u64,
    chunked: bool,
    key: Option<String>,
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let kibibyte = answer(&[b'x'; 1024]);
    while let Some(head) = read_head(&mut reader)? {
        if let Some(key) = &head.key {
            let accept = derive_accept_key(key.as_bytes());
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(switch.as_bytes())?;
            echo(stream);
            return Ok(());
        }
        let body = if head.chunked { read_chunks(&mut reader)? } else { skip(&mut reader, head.length)? };
        match bytes_of(&head.line) {
            Some(count) => send(&mut stream, count)?,
            None if head.line.starts_with("POST") => {
                stream.write_all(&answer(body.to_string().as_bytes()))?;
            }
            None => stream.write_all(&kibibyte)?,
        }
    }
    Ok(())
}

fn answer(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// `None` when the connection ends.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(head));
        }
        if head.line.is_empty() {
            line.clone_into(&mut head.line);
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().unwrap_or(0),
            "transfer-encoding" => head.chunked = true,
            "sec-websocket-key" => head.key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<u64> {
    io::copy(&mut reader.take(bytes), &mut io::sink())
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut all = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        all += skip(reader, size)?;
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(all);
        }
    }
}

fn bytes_of(line: &str) -> Option<u64> {
    line.strip_prefix("GET /bytes/")?.split(' ').next()?.parse().ok()
}

fn send(stream: &mut TcpStream, count: u64) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n")?;
    let piece = vec![b'x'; 64 * 1024];
    let mut left = count;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        stream.write_all(&piece[..now])?;
        left -= now as u64;
    }
    Ok(())
}

fn echo(stream: TcpStream) {
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    while let Ok(message) = socket.read() {
        if (message.is_binary() || message.is_text()) && socket.send(message).is_err() {
            break;
        }
    }
}
