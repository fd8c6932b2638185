// What may be removed from checkpoint storage: a pure function of what is there at one moment.
//
// Live is what a published checkpoint names, what a lease names that is not too old, and all of an
// upload whose intent is not too old. An object that is not live, of an upload that is older than
// the grace period, is garbage; so is a lease and an intent that is too old. Nothing else goes.
//
// An object that is garbage once stays it: who wants to use one again names it in a lease first and
// then looks whether whoever had it still does; or, in a small upload, uses those of the newest
// checkpoint alone, and reads all that was published since (`CheckpointUpload`).

/// What there is at one moment.
package struct StorageSnapshot: Equatable, Sendable {
  /// All objects, listed before the rest was looked at: what came since is not among them.
  package var objects: [StoredObject] = []
  package var intents: Set<UploadID> = []
  package var leases: [UploadID: StorageLease] = [:]
  /// By place: of all published checkpoints, and those that leases name.
  package var manifests: [StorageLease.ManifestPlace: StoredManifest] = [:]
  /// The published ones.
  package var published: Set<StorageLease.ManifestPlace> = []

  package init() {}
}

/// What is to go.
package struct StorageGarbage: Equatable, Sendable {
  package var intents: [UploadID] = []
  package var leases: [UploadID] = []
  package var objects: [StoredObject] = []
  /// Whose objects or intents go: nothing may be published any more that needs them.
  package var uploads: [UploadID] = []

  /// Decides.
  ///
  /// - Parameters:
  ///   - now: in milliseconds since 1970.
  ///   - grace: how old is too old, in milliseconds.
  package init(in snapshot: StorageSnapshot, keys: StorageKeys, now: Int64, grace: Int64) {
    func isOld(_ millis: Int64) -> Bool {
      let (age, overflow) = now.subtractingReportingOverflow(millis)
      return !overflow && age > grace
    }
    var liveUploads: Set<UploadID> = []
    var liveManifests = snapshot.published
    for (id, lease) in snapshot.leases {
      if isOld(lease.renewedMillis) {
        leases.append(id)
      } else {
        liveUploads.formUnion(lease.uploads)
        liveManifests.formUnion(lease.manifests)
      }
    }
    for intent in snapshot.intents {
      if isOld(intent.millis), !liveUploads.contains(intent) {
        intents.append(intent)
      } else {
        liveUploads.insert(intent)
      }
    }
    var liveKeys: Set<String> = []
    for place in liveManifests {
      liveKeys.insert(keys.manifest(place.checkpoint, of: place.upload))
      for object in snapshot.manifests[place]?.objects ?? [] {
        liveKeys.insert(keys.object(object.name, of: object.upload))
      }
    }
    var concerned = Set(intents)
    for object in snapshot.objects {
      guard let upload = keys.object(of: object.key)?.upload, isOld(upload.millis),
        !liveUploads.contains(upload), !liveKeys.contains(object.key)
      else { continue }
      objects.append(object)
      concerned.insert(upload)
    }
    leases.sort { $0.description < $1.description }
    intents.sort { $0.description < $1.description }
    uploads = concerned.sorted { $0.description < $1.description }
  }

  package var isEmpty: Bool { intents.isEmpty && leases.isEmpty && objects.isEmpty }
}
