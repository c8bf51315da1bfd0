// SPDX-License-Identifier: Apache-2.0
//
// The echo server of a good tokio program on the current-thread runtime: a task for each
// connection, with a buffer of its own.

use std::net::SocketAddr;
use std::process::exit;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};

const BUFFER_BYTE_COUNT: usize = 128 * 1024; // As the references: what is compared is the loops.

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTE_COUNT];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

async fn serve(address: SocketAddr) -> std::io::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener: TcpListener = socket.listen(4096)?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminate.recv().await;
        exit(0);
    });
    println!("listening on {} backend=tokio loops=1", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let address = match &arguments[1..] {
        [host, port] => format!("{host}:{port}").parse().ok(),
        _ => None,
    };
    let Some(address) = address else {
        eprintln!("usage: tokio-echo HOST PORT");
        exit(2);
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(address))
}
