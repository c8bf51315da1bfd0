// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
public import ServiceLifecycle

/// swift-service-lifecycle both ways round: services of ours, and the runtime as one of somebody's.
extension Runtime: Service {
    /// Runs services until a shutdown has ended them: up in order, drained in reverse.
    ///
    /// A `ServiceGroup` of swift-service-lifecycle runs them; a shutdown of this runtime is its
    /// graceful shutdown, so `withGracefulShutdownHandler`, `gracefulShutdown()` and
    /// `cancelWhenGracefulShutdown` hear of it. It needs neither signals nor time-outs of its own:
    /// the runtime's deadline holds for it, whatever a service throws on the way. A listener that
    /// a service has bound drains when the service's turn comes. A service that returns before
    /// that, or throws, cancels the others, as in any group. A further signal, and the end of the
    /// time for draining, cancel them.
    ///
    /// - Throws: what a service throws; `CancellationError`; `ServiceGroupError` when one of them
    ///   returned on its own.
    public func run(services: [any Service]) async throws {
        let running = RunningServices(services, shutdown)
        shutdown.register(running, name: running.name)
        try await running.run()
    }

    /// Runs as a member of somebody's `ServiceGroup`: returns when the runtime has drained.
    ///
    /// For a runtime in a program that has signals of its own: see `withRuntime`. The group's
    /// graceful shutdown asks for the runtime's, so it should stand first among the services: it is
    /// the last to be told then, and the others drain on it. Under `Runtime.main` use
    /// `run(services:)`.
    ///
    /// - Throws: `CancellationError`.
    public func run() async throws {
        try await withGracefulShutdownHandler {
            try await shutdown.requested()
            try await shutdown.drained()
        } onGracefulShutdown: { [shutdown] in
            shutdown.request(reason: "a graceful shutdown of its service group")
        }
    }
}

/// A drainable of several parts, each with a name.
protocol DrainsInParts: Drainable {
    /// The names of those that have not drained.
    var undrained: [String] { get }
}

/// Who is in a service group of ours.
package enum ServiceScope {
    /// What is bound here drains when its service's turn comes, and not before.
    @TaskLocal package static var isInService = false
}

/// The services of one `run(services:)`.
private final class RunningServices: DrainsInParts {
    let name: String
    private let group: ServiceGroup
    /// Those that have begun and not ended, by their place.
    private let live: Guarded<[Int: String]>
    private let hasEnded = Milestone()

    init(_ services: [any Service], _ shutdown: Shutdown) {
        let live = Guarded<[Int: String]>([:])
        let named = services.enumerated().map { place, service in
            NamedService(base: service, name: "service \(type(of: service))") { name in
                live.withLock { $0[place] = name }
            } onEnd: { name in
                live.withLock { $0[place] = nil }
                shutdown.noteServiceEnded(name)
            }
        }
        self.live = live
        name = services.count == 1 ? "1 service" : "\(services.count) services"
        group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: named.map {
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: $0,
                        serviceName: $0.name
                    )
                },
                logger: shutdown.logger
            )
        )
    }

    func run() async throws {
        defer { hasEnded.reach() }
        try await ServiceScope.$isInService.withValue(true) { try await group.run() }
    }

    func drain(until deadline: ContinuousClock.Instant) async {
        await group.triggerGracefulShutdown()
        try? await hasEnded.wait()
    }

    /// They were cancelled with the task that runs them; their listeners are cut off by themselves.
    func abort() {}

    var undrained: [String] {
        live.withLock { live in live.sorted { $0.key < $1.key }.map(\.value) }
    }
}

/// A service whose begin and end are noted.
private struct NamedService: Service {
    let base: any Service
    let name: String
    let onBegin: @Sendable (String) -> Void
    let onEnd: @Sendable (String) -> Void

    func run() async throws {
        onBegin(name)
        defer { onEnd(name) }
        try await base.run()
    }
}
