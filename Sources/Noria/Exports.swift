// SPDX-License-Identifier: Apache-2.0

// What a user's program names while it imports Noria alone: under MemberImportVisibility a member
// of a type is seen only with the module that declares it.
@_exported public import enum NoriaEngine.BackendKind
@_exported public import struct SystemPackage.Errno
@_exported public import struct SystemPackage.FileDescriptor
@_exported public import struct SystemPackage.FilePath
@_exported public import struct SystemPackage.FilePermissions
