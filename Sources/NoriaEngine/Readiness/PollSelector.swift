// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// poll(2), for where epoll is refused: it works everywhere, and every wait costs as much as
/// there are descriptors.
///
/// poll reports levels, and the contract asks for edges. So a direction that was reported is
/// masked until an operation has met its end, which `rearm` tells. Hang-ups and errors can't be
/// masked one by one: they are reported for both directions, and a descriptor whose directions
/// are both masked is not shown to the kernel at all. Else one that hung up, and that nobody
/// reads, would make every wait end at once.
///
/// SAFETY (`@exclusivity(unchecked)`): the loop's thread alone comes here, and no access spans a
/// call that reaches the same property again.
final class PollSelector: Selector {
    private typealias Bits = ReadinessEvents.Bits

    /// The owner of one entry of the list, at the same index.
    private struct Tenant {
        let fd: Int32
        let cookie: UInt64
        /// What it may ever be asked for.
        let directions: Readiness
        /// What the next wait asks for.
        var armed: Readiness
    }

    let kind = BackendKind.poll
    let isLevelTriggered = true
    private(set) var events = ReadinessEvents(capacity: 64)

    @exclusivity(unchecked) private var list = PollList()
    @exclusivity(unchecked) private var tenants: [Tenant] = []
    /// By descriptor number: its index in the list, or -1.
    @exclusivity(unchecked) private var indices: [Int32] = []

    func add(_ fd: Int32, for directions: Readiness, cookie: UInt64) throws(Errno) {
        let tenant = Tenant(fd: fd, cookie: cookie, directions: directions, armed: directions)
        while Int(fd) >= indices.count { indices.append(-1) }
        if let index = index(of: fd) {
            // It was closed underneath us, and its number given out again.
            tenants[index] = tenant
            list.replace(at: index, with: fd, bits: Self.bits(directions))
        } else {
            indices[Int(fd)] = Int32(tenants.count)
            tenants.append(tenant)
            list.append(fd, bits: Self.bits(directions))
        }
    }

    func remove(_ fd: Int32) {
        guard let index = index(of: fd) else { return }
        indices[Int(fd)] = -1
        list.removeByMovingLast(to: index)
        let last = tenants.removeLast()
        guard index < tenants.count else { return }
        tenants[index] = last
        indices[Int(last.fd)] = Int32(index)
    }

    func rearm(_ fd: Int32, _ direction: Readiness) {
        guard let index = index(of: fd) else { return }
        arm(index, tenants[index].armed.union(direction))
    }

    func wait(nanoseconds: Int64) -> Int {
        let result = list.wait(nanoseconds: nanoseconds)
        guard result > 0 else { return result }
        if result > events.capacity {
            events = ReadinessEvents(capacity: max(result, events.capacity * 2))
        }
        var found = 0
        for index in 0..<tenants.count where found < result {
            let bits = list.answer(at: index)
            guard bits != 0 else { continue }
            events[found] = (bits, tenants[index].cookie)
            found += 1
            arm(index, tenants[index].armed.subtracting(Readiness(bits: bits)))
        }
        return found
    }

    private func arm(_ index: Int, _ directions: Readiness) {
        let armed = directions.intersection(tenants[index].directions)
        tenants[index].armed = armed
        list.replace(at: index, with: tenants[index].fd, bits: Self.bits(armed))
    }

    private func index(of fd: Int32) -> Int? {
        guard fd >= 0, Int(fd) < indices.count, indices[Int(fd)] >= 0 else { return nil }
        return Int(indices[Int(fd)])
    }

    private static func bits(_ directions: Readiness) -> UInt32 {
        let reads = directions.isReadable ? Bits.readable | Bits.readHangUp | Bits.priority : 0
        return reads | (directions.isWritable ? Bits.writable : 0)
    }
}
