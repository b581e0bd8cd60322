-- The report in print: lines of provenance are small, tables are set in a type that lets them fit, and one that would be
-- unreadable on an upright page lies on its side. A grid of samples leaves room for the table above it.

local UPRIGHT, SIDEWAYS = 425, 755 -- widths of the text in points
local LARGEST, SMALLEST = 8.5, 4.5 -- of the type in tables, in points
local READABLE = 6.2 -- type that is smaller than this is worth turning the page for
local LETTER = 0.55 -- width of a letter, as a share of the size of the type
local GAP = 6 -- between columns, in points
local LINE = 24 -- letters at which running text in a cell is broken

local function typst(code)
  return pandoc.RawBlock("typst", code)
end

-- The letters of the widest line that a cell cannot do without; running text is broken at `line` letters, a number before
-- its interval.
local function widest(cell, line)
  local text = pandoc.utils.stringify(cell.contents)
  local glued, intervals = text:gsub("(%[[^%],]*),%s+([^%]]*%])", "%1,_%2")
  local letters, run = 0, -1
  for word in glued:gmatch("%S+") do
    local length = utf8.len(word) or #word
    run = run + 1 + length
    letters = math.max(letters, length, intervals > 0 and 0 or math.min(run, line))
  end
  return letters
end

-- The letters that each column needs where headings are broken at `heading` letters and other cells at `line`.
local function letters_by_column(tbl, heading, line)
  local columns = {}
  local function read(rows, limit)
    for _, row in ipairs(rows) do
      for number, cell in ipairs(row.cells) do
        columns[number] = math.max(columns[number] or 1, widest(cell, limit))
      end
    end
  end
  read(tbl.head.rows, heading)
  for _, body in ipairs(tbl.bodies) do read(body.body, line) end
  return columns
end

local function sum(numbers)
  local total = 0
  for _, number in ipairs(numbers) do total = total + number end
  return total
end

-- The size of type in which a table is as wide as `room`.
local function fitting(columns, room)
  return (room - GAP * #columns) / (LETTER * sum(columns))
end

local function fit(tbl)
  local columns = letters_by_column(tbl, 0, LINE)
  local room = UPRIGHT
  if fitting(columns, UPRIGHT) < READABLE then
    room = SIDEWAYS
  end
  local size = math.max(SMALLEST, math.min(LARGEST, fitting(columns, room)))
  tbl.attributes["typst:text:size"] = string.format("%.1fpt", size)
  -- Where not every cell has its own line, each column gets its share; the widths that pandoc reads mean nothing.
  local crowded = fitting(letters_by_column(tbl, math.huge, math.huge), room) < size
  for number, column in ipairs(tbl.colspecs) do
    local share = (LETTER * size * columns[number] + GAP) / (LETTER * size * sum(columns) + GAP * #columns)
    tbl.colspecs[number] = { column[1], crowded and share or nil }
  end
  tbl.classes:insert("typst:no-figure") -- the figure is Quarto's
  if room == SIDEWAYS then tbl.classes:insert("sideways") end
  return tbl
end

local function turn(float, node)
  local turned = false
  pandoc.Blocks(float.content):walk({
    Table = function(tbl) turned = turned or tbl.classes:includes("sideways") end,
  })
  if turned then return pandoc.Blocks({ typst("#page(flipped: true, margin: 1.4cm)["), node, typst("]") }) end
end

local function quiet(div)
  if div.classes:includes("provenance") then
    local blocks = pandoc.Blocks({ typst("#provenance[") })
    blocks:extend(div.content)
    blocks:insert(typst("]"))
    return blocks
  elseif div.classes:includes("sortable") then -- a page cannot be turned inside of a block
    return div.content
  end
end

local function smaller(image)
  if image.src:find("figures/samples-", 1, true) then image.attributes.width = "60%" end
  return image
end

local function interval(span)
  if span.classes:includes("interval") then
    local inlines = pandoc.Inlines({ pandoc.RawInline("typst", "#interval[") })
    inlines:extend(span.content)
    inlines:insert(pandoc.RawInline("typst", "]"))
    return inlines
  end
end

return { { Table = fit }, { FloatRefTarget = turn, Div = quiet, Span = interval, Image = smaller } }
