// SPDX-License-Identifier: Apache-2.0
import Noria

func isFast(_ kind: BackendKind) -> Bool {
    // error: switch covers known cases, but 'BackendKind' may have additional unknown values, possibly added in future versions
    switch kind {
    case .ioUring, .epoll: true
    case .poll, .simulated: false
    }
}
