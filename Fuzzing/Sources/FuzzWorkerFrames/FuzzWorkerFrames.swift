// SPDX-License-Identifier: Apache-2.0
import Property

/// The limit of a frame, how its bytes are cut, and the bytes.
///
/// The parser is given the pieces one after the other, and the model all of them at once. The file
/// of the parser is the runtime's own, compiled here once more, since it is none of its API.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWorkerFrames(_ bytes: UnsafePointer<UInt8>?, _ byteCount: Int) -> CInt {
    var input = [UInt8](UnsafeRawBufferPointer(start: bytes, count: byteCount))[...]
    guard let limit = input.popFirst().map({ Int($0) }), let cut = input.popFirst() else {
        return 0
    }
    let model = FrameModel(Array(input), limit: limit)
    var parser = WorkerFrameParser(byteCountLimit: limit)
    var frames: [WorkerFrame] = []
    var failure: WorkerFrameParser.Failure?
    let content = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count, alignment: 1)
    defer { content.deallocate() }
    content.copyBytes(from: input)
    var rest = UnsafeRawBufferPointer(content)[...]
    repeat {
        // Pieces of one size, or of sizes that the content itself gives.
        let size = cut == 0 ? Int(rest.first ?? 1) + 1 : Int(cut)
        parser.append(UnsafeRawBufferPointer(rebasing: rest.prefix(size)))
        rest = rest.dropFirst(size)
        do throws(WorkerFrameParser.Failure) {
            while let frame = try parser.next() { frames.append(frame) }
        } catch {
            expect(failure == nil || failure == error, "\(error) after \(failure as Any)")
            failure = error
        }
        expect(parser.bufferedByteCount <= limit + 4 + size, "it keeps what it can't need")
    } while !rest.isEmpty
    expect(frames == model.frames, "\(frames), not \(model.frames)")
    expect(failure == model.failure, "\(failure as Any), not \(model.failure as Any)")
    if failure == nil {
        expect(parser.bufferedByteCount == model.rest.count, "\(parser.bufferedByteCount) are left")
    }
    for frame in frames { checkAgain(frame) }
    return 0
}

/// What was read is written as it came, and a call that is one is the same once more.
private func checkAgain(_ frame: WorkerFrame) {
    var parser = WorkerFrameParser(byteCountLimit: frame.payload.count + 1)
    frame.bytes.withUnsafeBytes { parser.append($0) }
    expect((try? parser.next()) == frame, "\(frame) is not read back")
    guard let call = WorkerCall(frame.payload) else { return }
    expect(call.frame?.payload == frame.payload, "\(call) is not the same once more")
}
