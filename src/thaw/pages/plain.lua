-- Quarto's numbers and references for the plain renderer, which puts each page in a Div of its own.
-- Figures, tables and equations count within their chapter ("Figure 2.1"), in an unnumbered chapter from 1 without a
-- prefix; appendices are lettered; a figure inside a figure is "(a)", "(b)". The first thing that is wrong ends pandoc.

local NAMES = { fig = "Figure", tbl = "Table", eq = "Equation", sec = "Section" }
local SPACE = "\u{a0}" -- between a name and its number

local pages, targets = {}, {} -- by name, and by label what a reference prints: name, number or "", title of a section
local chapters = { Appendix = 0, Chapter = 0 } -- how many are numbered so far
local page, counts, sections -- of the page that is being read
local float, parts -- the figure or table that the walk is inside of, and how many parts of it there were
local numbering = { traverse = "topdown" }

local function refuse(...)
  io.stderr:write(page.name, ": ", ...)
  os.exit(1)
end

-- The label that an identifier is, if its kind is one of `NAMES` but `except`. pandoc puts the file's name before most.
local function label_of(identifier, except)
  local label = identifier:gsub("^.*%.qmd__", "")
  local kind = label:match("^(%l+)%-")
  return kind ~= except and NAMES[kind] and label
end

local function register(label, target)
  if targets[label] then refuse("the label ", label, " is given a second time: rename one of the two.") end
  targets[label] = target
end

local function next_number(kind)
  counts[kind] = (counts[kind] or 0) + 1
  return (page.number and page.number .. "." or "") .. counts[kind]
end

local function span(content, class) return pandoc.Span(content, { "", { class } }) end

-- Formulas in boxes, so that wide ones scroll; displayed ones are numbered where `{#eq-...}` follows.
local function number_equations(inlines)
  local boxed = pandoc.Inlines({})
  for _, inline in ipairs(inlines) do
    local label, rest = (inline.t == "Str" and inline.text or ""):match("^{#(eq%-[^%s}]+)}(.*)$")
    if inline.t == "Math" then
      inline = span({ inline }, inline.mathtype == "DisplayMath" and "display" or "formula")
    elseif label and #boxed > 1 then
      if boxed[#boxed].t ~= "Span" then boxed:remove() end
      local number = next_number("eq")
      register(label, { name = NAMES.eq, number = number })
      local numbered = { boxed:remove(), span("(" .. number .. ")", "equation-number") }
      boxed:insert(pandoc.Span(numbered, { label, { "equation" } }))
      inline.text = rest
    end
    boxed:insert(inline)
  end
  return boxed
end

-- A numbered figure or table; inside another one it is a part of it.
local function floating(label, content, caption)
  local outer, kind, printed = float, label:match("^%l+"), nil
  if outer then
    parts = parts + 1
    printed = "(" .. string.char(96 + parts) .. ")"
    register(label, { name = outer.name, number = outer.number .. SPACE .. printed })
  else
    float, parts = { name = NAMES[kind], number = next_number(kind) }, 0
    register(label, float)
    printed = span(float.name .. SPACE .. float.number .. (#caption > 0 and ":" or ""), "float-number")
  end
  local shown = pandoc.Inlines(printed) .. (#caption > 0 and { pandoc.Space() } or {}) .. caption
  local figure = pandoc.Figure(content:walk(numbering), { long = { pandoc.Plain(shown) } }, { label, { kind } })
  float = outer
  return figure, false
end

function numbering.Figure(element)
  local label = label_of(element.identifier, "sec")
  if not label then return end
  local caption = element.caption.long[1] and element.caption.long[1].content or pandoc.Inlines({})
  element.identifier, element.caption = "", { long = {} }
  return floating(label, element.t == "Table" and pandoc.Blocks({ element }) or element.content, caption)
end
numbering.Table = numbering.Figure

function numbering.Header(header)
  local name, number, title = header.level == 1 and page.kind or "Section", "", header.content
  if page.number and not header.classes:includes("unnumbered") then
    sections = { table.unpack(sections, 1, header.level) }
    for level = 2, header.level do sections[level] = (sections[level] or 0) + (level == header.level and 1 or 0) end
    number = table.concat(sections, ".")
    local lead = pandoc.Inlines({ span(number, "header-section-number"), pandoc.Str("\u{2002}") })
    header.content = (name == "Appendix" and pandoc.Inlines("Appendix " .. number .. " — ") or lead) .. title
    header.attributes["data-number"] = number
  end
  local label = label_of(header.identifier)
  if label then
    header.identifier = label
    register(label, { name = name, number = number, title = header.level == 1 and header.content or title })
  end
  page.identifier = page.identifier or header.identifier
  return header
end

function numbering.Div(div)
  local content, caption, last = div.content, pandoc.Inlines({}), div.content[#div.content]
  local when, unless = div.attributes["when-format"] or "html", div.attributes["unless-format"] or ""
  local here = when:find("^html") ~= nil and not unless:find("^html")
  local visible, hidden = div.classes:includes("content-visible"), div.classes:includes("content-hidden")
  local callout = div.classes:find_if(function(class) return class:find("^callout%-") end)
  if div.classes:includes("beside") then
    return {}, false -- it needs a file beside the page
  elseif visible or hidden then
    return here == visible and content:walk(numbering) or {}, false
  elseif callout then
    local title = pandoc.Inlines(div.attributes.title or (callout:gsub("^callout%-(%l)", string.upper)))
    if content[1] and content[1].t == "Header" then title = content:remove(1).content end
    content = content:walk(numbering)
    content:insert(1, pandoc.Div({ pandoc.Plain(title) }, { "", { "callout-title" } }))
    return pandoc.Div(content, { "", { "callout", callout }, { role = "note" } }), false
  end
  local label = label_of(div.identifier, "sec")
  local captioned = label and #content > 1 and last.t == "Para" and last.content[1].t ~= "Image"
  if captioned then caption = content:remove().content end
  if div.attributes["layout-ncol"] then
    local style = "--columns: " .. div.attributes["layout-ncol"]
    content = pandoc.Blocks({ pandoc.Div(content, { "", { "layout" }, { style = style } }) })
  end
  if label then return floating(label, content, caption) end
  div.content = content
  return div
end

function numbering.Image(image)
  local found = pcall(pandoc.mediabag.fetch, image.src)
  if not found then refuse("the image ", image.src, " does not exist: make it first, or mend its path.") end
  image.attributes.alt = image.attributes["fig-alt"] or image.attributes.alt
  image.attributes["fig-alt"] = nil
  return image
end

local function number_page(div)
  local title = div.content:find_if(function(block) return block.t == "Header" and block.level == 1 end)
  page = { name = div.attributes.name, kind = div.attributes.kind }
  if title and not title.classes:includes("unnumbered") then
    chapters[page.kind] = chapters[page.kind] + 1
    page.number = page.kind == "Appendix" and string.char(64 + chapters.Appendix) or tostring(chapters.Chapter)
  end
  pages[page.name], counts, sections = page, {}, { page.number }
  div.content = div.content:walk({ Inlines = number_equations }):walk(numbering)
end

-- What `@fig-x` prints, as Quarto prints it: without what else stands in its brackets.
local function references(cite)
  local printed = pandoc.Inlines({})
  for _, citation in ipairs(cite.citations) do
    local label, prefix = citation.id:gsub("^%u", string.lower), citation.prefix
    local target = targets[label]
    if target then
      local shown = (#prefix > 0 and prefix or pandoc.Inlines(target.name)) .. { pandoc.Str(SPACE .. target.number) }
      if target.title and (not page.number or target.number == "") then -- Quarto numbers neither of these
        shown = prefix .. (#prefix > 0 and { pandoc.Space() } or {}) .. target.title
      elseif citation.mode == "SuppressAuthor" then
        shown = prefix .. { pandoc.Str(target.number) }
      end
      if #printed > 0 then printed:insert(pandoc.Str(", ")) end
      printed:insert(pandoc.Link(shown, "#" .. label, "", { "", { "quarto-xref" } }))
    elseif label_of(label) then
      refuse("@", label, " refers to nothing in the book: give what it means that label, or mend the reference.")
    end
  end
  return #printed > 0 and printed or nil
end

local function page_link(link)
  local name = link.target:match("^#?([^#:]+%.qmd)$")
  if name and not pages[name] then refuse("the link to ", name, " leads to no page of the book: mend its path.") end
  if name then link.target = "#" .. (pages[name].identifier or "") end
  local label = label_of(link.target:match("^#(.+)") or "") -- pandoc takes it for one of the same file
  if targets[label] then link.target = "#" .. label end
  return link
end

function Pandoc(doc)
  local blocks = pandoc.Blocks({})
  for _, div in ipairs(doc.blocks) do number_page(div) end
  for _, div in ipairs(doc.blocks) do
    page = pages[div.attributes.name]
    blocks:extend(div.content:walk({ Cite = references, Link = page_link }))
  end
  return pandoc.Pandoc(blocks, doc.meta)
end
