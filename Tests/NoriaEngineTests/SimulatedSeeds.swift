// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Testing

@Suite struct SimulatedSeeds {
    /// `NORIA_SEEDS` asks for more, `NORIA_SEED` for one.
    private static let seeds: Range<UInt64> = {
        if let one = Thread.environment("NORIA_SEED").flatMap(UInt64.init) { return one..<one + 1 }
        return 0..<(Thread.environment("NORIA_SEEDS").flatMap(UInt64.init) ?? 300)
    }()

    @Test("Echo traffic holds the engine's contract, whatever the kernel does")
    func echo() {
        var counts: [SimulatedFault: Int] = [:]
        var (byteCount, resetCount, completionCount) = (0, 0, UInt64(0))
        for seed in Self.seeds {
            let echo = SimulatedEcho(seed: seed)
            echo.run()
            #expect(echo.problems == [], "seed \(seed): run it again with NORIA_SEED=\(seed)")
            for (fault, count) in echo.backend.faultCounts { counts[fault, default: 0] += count }
            byteCount += echo.echoedByteCount
            resetCount += echo.resetCount
            completionCount += echo.engine.completionCount
        }
        let faults = SimulatedFault.allCases.map { "\($0.rawValue) \(counts[$0] ?? 0)" }
        print(
            "\(Self.seeds.count) seeds: \(completionCount) completions, \(byteCount) bytes"
                + " echoed, \(resetCount) connections reset; \(faults.joined(separator: ", "))"
        )
        guard Self.seeds.count > 1 else { return }
        // A fault that never came proves nothing.
        for fault in SimulatedFault.allCases { #expect(counts[fault] ?? 0 > 0, "\(fault)") }
    }

    @Test("The same seed gives the same run")
    func isRepeatable() {
        let runs = (0..<2).map { _ in
            let echo = SimulatedEcho(seed: 42)
            echo.run()
            return [Int(echo.kernel.now), echo.echoedByteCount, Int(echo.engine.completionCount)]
        }
        #expect(runs[0] == runs[1])
    }

    @Test("Without faults everything comes back, and no fault is counted")
    func withoutFaults() {
        let echo = SimulatedEcho(seed: 7, faults: .none)
        echo.run()
        #expect(echo.problems == [])
        #expect(echo.resetCount == 0)
        #expect(
            echo.backend.faultCounts.keys.allSatisfy { [.noBuffer, .cancelInTime].contains($0) }
        )
    }

    @Test("Virtual time passes only when nothing can be done")
    func time() throws {
        let fixture = try ConformanceFixture(.simulated)
        let kernel = try #require(fixture.kernel)
        let (near, far) = try fixture.connection()
        let operation = fixture.start(.receive(near))
        let start = kernel.now
        fixture.look(nanoseconds: 5_000_000_000)
        #expect(kernel.now - start >= 5_000_000_000)
        far.send([1])
        let later = kernel.now
        fixture.look(nanoseconds: 5_000_000_000)
        #expect(kernel.now - later < 1_000_000)
        #expect(try fixture.answer(of: operation) == .received([1]))
        fixture.close(near)
        fixture.finish()
    }

    @Test("A buffer that is used after it was given back, or given back twice, is seen")
    func violations() throws {
        let fixture = try ConformanceFixture(.simulated, bufferCapacity: 1, bufferByteCount: 16)
        let backend = try #require(fixture.engine.backend as? SimulatedBackend)
        let (near, far) = try fixture.connection()
        far.send([1])
        let operation = fixture.start(.receive(near), keepsBuffer: true)
        _ = try fixture.answer(of: operation)
        let buffer = try #require(operation.kept)
        operation.giveBack()
        fixture.engine.giveBack(buffer)
        fixture.engine.buffers.start(of: buffer).storeBytes(of: 1, as: UInt8.self)
        far.send([2])
        _ = try fixture.answer(.receive(near))
        #expect(backend.violations.count == 2, "\(backend.violations)")
        fixture.close(near)
    }
}
