// SPDX-License-Identifier: Apache-2.0
import Hummingbird
import Noria

/// The page at `/`: one document that asks for nothing else.
struct FrontPage {
    let html: String

    static let headers: HTTPFields = [
        .contentType: "text/html; charset=utf-8",
        .contentSecurityPolicy: "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    ]

    init(_ runtime: Runtime) {
        let count = runtime.eventLoops.count
        let place = "\(runtime.backend.kind), \(count) loop\(count == 1 ? "" : "s")"
        let links = Self.endpoints.map { target, sentence in
            "<li><a href=\"\(target)\">\(target)</a><p>\(sentence)</p></li>"
        }
        html = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <link rel="icon" href="data:,">
            <title>noria-demo</title>
            <style>
            :root { --ink: #1c2326; --paper: #fbfaf7; --soft: #5c686d; --line: #dcdad2; --link: #00618a }
            @media (prefers-color-scheme: dark) {
            :root { --ink: #e4e8e9; --paper: #14191b; --soft: #99a5aa; --line: #2e373b; --link: #6cc4ee }
            }
            body { margin: 0 auto; padding: 2rem 1rem; max-width: 38rem; font: 1rem/1.5 system-ui, sans-serif;
            color: var(--ink); background: var(--paper) }
            h1 { margin: 0; font-size: 1.6rem }
            p { margin: .2rem 0; color: var(--soft) }
            ul { margin: 1.5rem 0; padding: 0; list-style: none; border-top: 1px solid var(--line) }
            li { padding: .7rem 0; border-bottom: 1px solid var(--line) }
            a { color: var(--link); font: .95rem ui-monospace, monospace; overflow-wrap: anywhere }
            </style>
            </head>
            <body>
            <h1>noria-demo</h1>
            <p>Hummingbird on Noria: <strong>\(place)</strong>.</p>
            <ul>
            \(links.joined(separator: "\n"))
            </ul>
            <p>Ctrl-C or SIGTERM ends it: what was asked is answered first, and the exit code is 0.</p>
            </body>
            </html>

            """
    }

    private static let endpoints = [
        ("/plaintext", "Five bytes, as fast as they can be had: for a load."),
        (
            "/stream?count=10&amp;every=500ms",
            "A line at a time, until the last, the end of the service, or your leave."
        ),
        (
            "/offload?n=500000",
            "Counts primes on the pool for what computes, and says how late the loop was meanwhile."
        ),
        (
            "/offload?sleep=300ms",
            "The same with a call that blocks, on the pool for such calls."
        ),
        (
            "/block?ms=200",
            "Blocks a loop on purpose: the log names the function, with file and line."
        ),
        ("/health", "200 while the service takes work, 503 with the reason while it does not."),
        ("/metrics", "The runtime's numbers, for Prometheus."),
    ]
}
