// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import Hummingbird
internal import Logging

/// A log handler with a request's number, which is put among the metadata when somebody asks.
///
/// Few requests log; a stream handler writes its metadata out whenever they change, which was 6 % of
/// a short request's instructions.
struct RequestLogHandler: LogHandler {
    private static let key = "hb.request.id"

    private var base: any LogHandler
    private var id: RequestID?

    static func logger(_ logger: Logger, _ id: RequestID) -> Logger {
        Logger(label: logger.label) { _ in RequestLogHandler(base: logger.handler, id: id) }
    }

    private init(base: any LogHandler, id: RequestID) {
        self.base = base
        self.id = id
    }

    private var whole: any LogHandler {
        guard let id else { return base }
        var whole = base
        whole[metadataKey: Self.key] = .stringConvertible(id)
        return whole
    }

    private mutating func change(_ body: (inout any LogHandler) -> Void) {
        base = whole
        id = nil
        body(&base)
    }

    var logLevel: Logger.Level {
        get { base.logLevel }
        set { base.logLevel = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { base.metadataProvider }
        set { base.metadataProvider = newValue }
    }

    var metadata: Logger.Metadata {
        get { whole.metadata }
        set { change { $0.metadata = newValue } }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { whole[metadataKey: key] }
        set { change { $0[metadataKey: key] = newValue } }
    }

    func log(event: LogEvent) { whole.log(event: event) }
}
#endif
