import SedimentStore
import Testing

/// What may go, as a function of what is there.
@Suite struct StorageGarbageTests {
  private static let keys = StorageKeys(identity: StoreIdentity(high: 1, low: 2))
  private static let now: Int64 = 1_700_000_000_000
  private static let grace: Int64 = 1_000
  private static let old = UploadID(millis: now - 1_001, random: 1)
  private static let young = UploadID(millis: now - 1_000, random: 2)
  private static let name = "000000000008-000000000000004d-4096.log"
  private static let checkpoint = CheckpointID(epoch: 1, writerEpoch: 1, content: 1)

  private static func key(_ upload: UploadID) -> String { keys.object(name, of: upload) }

  private static func garbage(_ change: (inout StorageSnapshot) -> Void) -> StorageGarbage {
    var snapshot = StorageSnapshot()
    snapshot.objects = [old, young].map { StoredObject(key: key($0), bytes: 5) }
    change(&snapshot)
    return StorageGarbage(in: snapshot, keys: keys, now: now, grace: grace)
  }

  private static var manifest: StoredManifest {
    StoredManifest(
      objects: [.init(name: name, upload: old, bytes: 5, digest: SHA256.digest(of: []))],
      checkpoint: CheckpointManifest(
        createdMillis: 0,
        state: StoreState(identity: keys.identity, seed: HashSeed(first: 1, second: 2))))
  }

  @Test func whatNobodyNamesGoesWhenItIsOld() {
    let garbage = Self.garbage { _ in }
    #expect(garbage.objects.map(\.key) == [Self.key(Self.old)])
    #expect(garbage.uploads == [Self.old])
  }

  @Test func whatAPublishedCheckpointNamesStays() {
    let place = StorageLease.ManifestPlace(upload: Self.young, checkpoint: Self.checkpoint)
    let garbage = Self.garbage {
      $0.published = [place]
      $0.manifests[place] = Self.manifest
    }
    #expect(garbage.isEmpty && garbage.uploads.isEmpty)
  }

  @Test func aManifestStaysWithItsCheckpoint() {
    let place = StorageLease.ManifestPlace(upload: Self.old, checkpoint: Self.checkpoint)
    let key = Self.keys.manifest(Self.checkpoint, of: Self.old)
    let other = Self.garbage { $0.objects = [StoredObject(key: key, bytes: 9)] }
    #expect(other.objects.map(\.key) == [key])
    let garbage = Self.garbage {
      $0.objects = [StoredObject(key: key, bytes: 9)]
      $0.published = [place]
      $0.manifests[place] = Self.manifest
    }
    #expect(garbage.isEmpty)
  }

  @Test func whatALeaseNamesStaysWhileItIsYoung() {
    let place = StorageLease.ManifestPlace(upload: Self.young, checkpoint: Self.checkpoint)
    for (age, isHeld) in [(Self.grace, true), (Self.grace + 1, false)] {
      var lease = StorageLease(renewedMillis: Self.now - age)
      lease.manifests = [place]
      let garbage = Self.garbage {
        $0.leases[Self.young] = lease
        $0.manifests[place] = Self.manifest
      }
      #expect(garbage.objects.isEmpty == isHeld)
      #expect(garbage.leases == (isHeld ? [] : [Self.young]))
      lease.manifests = []
      lease.uploads = [Self.old]
      let other = Self.garbage {
        $0.leases[Self.young] = lease
        $0.intents = [Self.old]
      }
      #expect(other.objects.isEmpty == isHeld)
      #expect(other.intents == (isHeld ? [] : [Self.old]))
    }
  }

  @Test func anIntentThatIsOldGoesAndIsFencedEvenWithoutObjects() {
    let garbage = Self.garbage {
      $0.objects = []
      $0.intents = [Self.old, Self.young]
    }
    #expect(garbage.intents == [Self.old] && garbage.uploads == [Self.old])
  }

  @Test func foreignKeysAndTimesOutOfRangeNeverGo() {
    let foreign = Self.keys.uploads + "notes.txt"
    let garbage = Self.garbage {
      $0.objects = [
        StoredObject(key: foreign, bytes: 1),
        StoredObject(key: Self.keys.uploads(of: Self.old) + "notes.txt", bytes: 1),
      ]
      $0.leases[Self.young] = StorageLease(renewedMillis: .max)
    }
    #expect(garbage.isEmpty)
    #expect(
      StorageGarbage(
        in: StorageSnapshot(), keys: Self.keys, now: .min, grace: Self.grace
      ).isEmpty)
  }
}
