// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import ServiceLifecycle

/// A service of one closure.
struct ServerService: Service {
    let serve: @Sendable () async throws -> Void
    func run() async throws { try await serve() }
}
#endif
