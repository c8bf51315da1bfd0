// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// A worker that has just been started, and what leads to it.
struct StartedWorker: Sendable {
    let child: Child
    let socket: Int32
    let errors: Int32

    /// Starts a worker's process, or says what stood in the way; it waits for the other program.
    static func result(
        of configuration: ProcessPool.Configuration
    ) -> Result<StartedWorker, StartFailure> {
        do throws(StartFailure) { return .success(try start(configuration)) } catch {
            return .failure(error)
        }
    }

    private static func start(_ configuration: ProcessPool.Configuration) throws(StartFailure)
        -> Self
    {
        let path = configuration.executable?.string ?? "/proc/self/exe"
        do throws(Errno) {
            let (socket, distant) = try Socket.pair()
            defer { Descriptor.close(distant) }
            do throws(Errno) {
                let (reading, writing) = try Descriptor.pipe()
                defer { Descriptor.close(writing) }
                do throws(Errno) {
                    let child = try Child.spawn(
                        path,
                        configuration.executable == nil ? CommandLine.arguments : [path],
                        environment: environment(configuration),
                        socket: distant,
                        errors: writing
                    )
                    return Self(child: child, socket: socket, errors: reading)
                } catch {
                    Descriptor.close(reading)
                    throw error
                }
            } catch {
                Descriptor.close(socket)
                throw error
            }
        } catch {
            throw StartFailure("\(path) can't be started: \(error) (\(error.name))")
        }
    }

    private static func environment(_ configuration: ProcessPool.Configuration) -> [String] {
        var variables = WorkerSelf.variables.filter {
            !$0.hasPrefix(WorkerSeat.variable + "=")
        }
        let seat = WorkerSeat(
            parentID: Thread.processID,
            frameByteCountLimit: configuration.frameByteCountLimit,
            isMemoryLimited: configuration.memoryByteCountLimit != nil
        )
        variables.append("\(WorkerSeat.variable)=\(seat.text)")
        // A trap says its reason in a line; the backtrace behind it takes a second and more than
        // the tail holds. Whoever sets the variable gets it.
        if !variables.contains(where: { $0.hasPrefix("SWIFT_BACKTRACE=") }) {
            variables.append("SWIFT_BACKTRACE=enable=no")
        }
        return variables
    }

    /// Ends what could not be taken over.
    func discard() {
        child.signal(9)
        _ = child.reap(waits: true)
        for fd in [socket, errors, child.descriptor] { Descriptor.close(fd) }
    }
}

/// Why a worker could not be started.
struct StartFailure: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}
