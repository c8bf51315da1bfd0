// SPDX-License-Identifier: Apache-2.0
import Hummingbird
import NIOCore
import Noria

/// The endpoints, without any middleware: nothing is logged for a request.
func makeRouter(_ runtime: Runtime) -> Router<BasicRequestContext> {
    let router = Router()
    let page = ByteBuffer(string: FrontPage(runtime).html)
    let hello = ByteBuffer(string: "hello")
    router.get("/") { _, _ in
        Response(status: .ok, headers: FrontPage.headers, body: ResponseBody(byteBuffer: page))
    }
    router.get("plaintext") { _, _ in
        Response(status: .ok, headers: plainHeaders, body: ResponseBody(byteBuffer: hello))
    }
    router.get("stream") { request, _ in try LineStream(runtime, request).response }
    router.get("offload") { request, _ in try await offload(request, runtime) }
    router.get("block") { request, _ in try block(request) }
    router.get("health") { _, _ in
        let reasons = runtime.health.reasons.sorted { $0.key < $1.key }
        guard !reasons.isEmpty else { return text("ready\n") }
        let lines = reasons.map { "\($0.key): \($0.value)\n" }.joined()
        return text("not ready\n\(lines)", status: .serviceUnavailable)
    }
    router.get("metrics") { _, _ in
        var metrics = PrometheusText()
        metrics.add(runtime.snapshot(), isReady: runtime.health.isReady)
        return Response(
            status: .ok,
            headers: [.contentType: PrometheusText.contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.text))
        )
    }
    return router
}

private let plainHeaders: HTTPFields = [.contentType: "text/plain; charset=utf-8"]

/// A short answer in words.
func text(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
    Response(
        status: status,
        headers: plainHeaders,
        body: ResponseBody(byteBuffer: ByteBuffer(string: text))
    )
}
