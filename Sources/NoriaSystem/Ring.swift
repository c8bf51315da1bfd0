// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// The queues that io_uring shares with the kernel, without any policy.
///
/// It is one thread's, from the first `enter` on: that call enables the ring.
///
/// SAFETY: `ring` is heap memory that lives as long as this object; the C functions keep to the
/// queues' memory order.
package final class Ring {
    package enum Operation: UInt8, Sendable {
        case sync = 3
        case pollAdd = 6
        case sendMessage = 9
        case accept = 13
        case cancel = 14
        case connect = 16
        case read = 22
        case write = 23
        case send = 26
        case receive = 27
    }

    /// What is submitted, field by field as in io_uring_enter(2).
    package struct Entry {
        package var operation: Operation
        package var fd: Int32
        package var address: UInt64 = 0
        package var length: UInt32 = 0
        package var offset: UInt64 = 0
        package var flags: UInt32 = 0
        package var userData: UInt64
        /// The kernel takes a buffer of group 0 when bytes have come.
        package var selectsBuffer = false
        /// Waits for readiness before it tries: for receives that are known to find nothing.
        package var pollsFirst = false

        package init(_ operation: Operation, fd: Int32, userData: UInt64) {
            self.operation = operation
            self.fd = fd
            self.userData = userData
        }
    }

    package struct Answer {
        package let userData: UInt64
        package let result: Int32
        package let buffer: UInt16?
    }

    private let ring: UnsafeMutablePointer<noria_ring>
    private let answers: UnsafeMutablePointer<noria_cqe>
    private let answerCapacity: Int
    private var isEnabled = false

    /// All flags that we want, and what is newer than 6.1 apart.
    private static let flags = UInt32(
        NORIA_SETUP_CLAMP | NORIA_SETUP_R_DISABLED | NORIA_SETUP_SUBMIT_ALL
            | NORIA_SETUP_TASKRUN_FLAG | NORIA_SETUP_SINGLE_ISSUER | NORIA_SETUP_DEFER_TASKRUN
    )

    package init(entries: Int, completions: Int, answersPerTake: Int) throws(Errno) {
        ring = .allocate(capacity: 1)
        ring.initialize(to: noria_ring())
        answerCapacity = answersPerTake
        answers = .allocate(capacity: answersPerTake)
        ring.pointee.fd = -1
        var result = setUp(entries, completions, Self.flags | UInt32(NORIA_SETUP_NO_SQARRAY))
        // Before 6.6 that flag is unknown. Nothing else is left out: see DESIGN §3.
        if result == -Errno.invalidArgument.rawValue {
            result = setUp(entries, completions, Self.flags)
        }
        guard result == 0 else { throw Errno(negated: result) }
        let needed = UInt32(NORIA_FEATURE_NODROP | NORIA_FEATURE_EXT_ARG)
        guard ring.pointee.features & needed == needed else { throw .notSupported }
    }

    private func setUp(_ entries: Int, _ completions: Int, _ flags: UInt32) -> Int32 {
        noria_ring_setup(ring, UInt32(entries), UInt32(completions), flags)
    }

    deinit {
        noria_ring_close(ring)
        ring.deallocate()
        answers.deallocate()
    }

    /// Names of what this kernel offers beyond the least that we need.
    package var features: [String] {
        var names = ["DEFER_TASKRUN"]
        if ring.pointee.setup_flags & UInt32(NORIA_SETUP_NO_SQARRAY) != 0 {
            names.append("NO_SQARRAY")
        }
        if ring.pointee.features & UInt32(NORIA_FEATURE_NO_IOWAIT) != 0 {
            names.append("NO_IOWAIT")
        }
        return names
    }

    package func supports(_ operations: [Operation]) -> Bool {
        let operations = operations.map(\.rawValue)
        return noria_ring_supports(ring, operations, Int32(operations.count))
    }

    package func registerBuffers(count: Int) throws(Errno) {
        _ = try check(Int(noria_ring_register_buffers(ring, UInt16(count))))
    }

    /// How many of the kernel's own threads this ring's thread may have for files; 0 leaves it.
    package var workerLimit = 0

    /// Lends a buffer to the kernel until an answer names it.
    package func provide(_ id: UInt16, at address: UnsafeMutableRawPointer, byteCount: Int) {
        noria_ring_provide(ring, address, UInt32(byteCount), id)
    }

    /// Puts an entry into the queue; false when it is full.
    package func prepare(_ entry: Entry) -> Bool {
        guard let sqe = noria_ring_next(ring) else { return false }
        sqe.pointee.opcode = entry.operation.rawValue
        sqe.pointee.fd = entry.fd
        sqe.pointee.address = entry.address
        sqe.pointee.length = entry.length
        sqe.pointee.offset = entry.offset
        sqe.pointee.operation_flags = entry.flags
        sqe.pointee.user_data = entry.userData
        if entry.selectsBuffer { sqe.pointee.flags = UInt8(NORIA_SQE_BUFFER_SELECT) }
        if entry.pollsFirst { sqe.pointee.priority = UInt16(NORIA_RECVSEND_POLL_FIRST) }
        return true
    }

    package var hasPrepared: Bool { ring.pointee.prepared != ring.pointee.submitted }

    /// Whether the kernel holds answers back until it is entered.
    package var wantsEntry: Bool { noria_ring_wants_entry(ring) }

    package var overflowCount: Int { Int(noria_ring_overflows(ring)) }

    /// Submits what was prepared and waits for `minimum` answers, up to `nanoseconds`.
    package func enter(minimum: Int, nanoseconds: Int64) throws(Errno) {
        if !isEnabled { try enable() }
        let result = noria_ring_enter(ring, UInt32(minimum), nanoseconds)
        if result < 0 { throw Errno(negated: result) }
    }

    private func enable() throws(Errno) {
        _ = try check(Int(noria_ring_enable(ring)))
        noria_ring_register_descriptor(ring)
        if workerLimit > 0 { noria_ring_limit_workers(ring, UInt32(clamping: workerLimit)) }
        isEnabled = true
    }

    /// Takes up to `limit` answers; how many.
    package func take(limit: Int, _ body: (Answer) -> Void) -> Int {
        let count = Int(noria_ring_take(ring, answers, UInt32(min(limit, answerCapacity))))
        for index in 0..<count {
            let cqe = answers[index]
            let hasBuffer = cqe.flags & UInt32(NORIA_CQE_BUFFER) != 0
            body(
                Answer(
                    userData: cqe.user_data,
                    result: cqe.result,
                    buffer: hasBuffer ? UInt16(truncatingIfNeeded: cqe.flags >> 16) : nil
                )
            )
        }
        return count
    }

    /// Flags of sends, accepts and writes, and events of polls.
    package enum Flags {
        package static let noSignal = UInt32(MSG_NOSIGNAL)
        package static let sendNow = UInt32(MSG_NOSIGNAL) | UInt32(MSG_DONTWAIT)
        package static let accepted = UInt32(SOCK_NONBLOCK.rawValue) | UInt32(SOCK_CLOEXEC.rawValue)
        package static let readable = UInt32(POLLIN)
        package static let writable = UInt32(POLLOUT)
        /// At the end of the file, wherever that is by then: RWF_APPEND.
        package static let append: UInt32 = 0x10
    }
}
