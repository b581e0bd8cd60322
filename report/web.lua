-- Pictures in the HTML load as they come near the window, all but the first, and keep their room until they are there.

local seen = false

function Image(image)
  if seen then
    image.attributes.loading = "lazy"
    image.attributes.decoding = "async"
  end
  seen = true
  local read, _, picture = pcall(pandoc.mediabag.fetch, image.src)
  local known, size = pcall(pandoc.image.size, read and picture or "")
  if known and not image.attributes.width then
    image.attributes.width, image.attributes.height = tostring(size.width), tostring(size.height)
  end
  return image
end
