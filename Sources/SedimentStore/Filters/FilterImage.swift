/// A finished filter as the table writer puts it on disk: geometry and image.
@safe
package final class FilterImage: Sendable {
  /// What the bytes mean.
  package let geometry: FilterGeometry

  private let memory: AlignedBytes

  /// Takes memory of which the first `geometry.imageBytes` bytes are the image.
  init(geometry: FilterGeometry, memory: consuming AlignedBytes) {
    precondition(memory.count >= geometry.imageBytes, "the image is not all there")
    self.geometry = geometry
    self.memory = memory
  }

  /// An image of no filter.
  package convenience init() {
    self.init(geometry: .none, memory: AlignedBytes(zeroed: 0))
  }

  /// The image, `geometry.imageBytes` long, as long as this object lives.
  package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: memory.base, count: geometry.imageBytes)
  }
}
