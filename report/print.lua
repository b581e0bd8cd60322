-- The report in print: lines of provenance are small, tables are set in a type that lets them fit, and one that no legible
-- type lets fit is set in several parts. A grid of samples leaves room for the table above it.

local ROOM = 470 -- width of the text in points
local DOTS = 170 -- to an inch, of the pictures
local LARGEST, SMALLEST = 8.5, 7.5 -- of the type in tables, in points
local LETTER = 0.56 -- width of a letter, as a share of the size of the type
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

-- The size of type in which columns of so many letters are as wide as the text.
local function fitting(columns)
  return (ROOM - GAP * #columns) / (LETTER * sum(columns))
end

-- A table of those columns alone whose numbers are given.
local function of_columns(tbl, numbers)
  local part = tbl:clone()
  local function choose(rows)
    for _, row in ipairs(rows) do
      local cells = row.cells
      row.cells = pandoc.List(numbers):map(function(number) return cells[number] end)
    end
  end
  choose(part.head.rows)
  for _, body in ipairs(part.bodies) do choose(body.body) end
  part.colspecs = pandoc.List(numbers):map(function(number) return tbl.colspecs[number] end)
  return part
end

local function sized(tbl)
  local columns = letters_by_column(tbl, 0, LINE)
  local size = math.max(SMALLEST, math.min(LARGEST, fitting(columns)))
  tbl.attributes["typst:text:size"] = string.format("%.1fpt", size)
  -- Where not every cell has its own line, each column gets its share; the widths that pandoc reads mean nothing.
  local crowded = fitting(letters_by_column(tbl, math.huge, math.huge)) < size
  for number, column in ipairs(tbl.colspecs) do
    local share = (LETTER * size * columns[number] + GAP) / (LETTER * size * sum(columns) + GAP * #columns)
    tbl.colspecs[number] = { column[1], crowded and share or nil }
  end
  tbl.classes:insert("typst:no-figure") -- the figure is Quarto's
  return tbl
end

-- The table, or parts of it that repeat its first column and are about as wide as each other.
local function fit(tbl)
  local columns = letters_by_column(tbl, 0, LINE)
  local width = function(number) return LETTER * SMALLEST * columns[number] + GAP end
  local others = 0
  for number = 2, #columns do others = others + width(number) end
  local count = math.ceil(others / (ROOM - width(1)))
  if count <= 1 then return sized(tbl) end
  local parts, chosen, used = pandoc.Blocks({}), { 1 }, 0
  for number = 2, #columns do
    local full = used + width(number) > ROOM - width(1)
    if #chosen > 1 and (full or used + width(number) / 2 > others / count) then
      parts:insert(sized(of_columns(tbl, chosen)))
      chosen, used = { 1 }, 0
    end
    table.insert(chosen, number)
    used = used + width(number)
  end
  parts:insert(sized(of_columns(tbl, chosen)))
  return parts
end

local function quiet(div)
  if div.classes:includes("provenance") then
    local blocks = pandoc.Blocks({ typst("#provenance[") })
    blocks:extend(div.content)
    blocks:insert(typst("]"))
    return blocks
  end
end

-- Charts are as wide as the text, for the sake of their letters, if a page is high enough, and pictures as wide as they
-- were drawn; of grids wider than high two fit on a page, and beside any other picture there is room for a table.
local function smaller(image)
  local _, picture = pandoc.mediabag.fetch(image.src)
  local size = pandoc.image.size(picture)
  local shape = size.width / size.height
  local grid = shape > 1 and not image.src:find("figures/study-", 1, true)
  local highest = image.classes:includes("chart") and 600 or grid and 290 or 425
  local widest = image.classes:includes("chart") and 1 or math.min(1, size.width / DOTS * 72 / ROOM)
  image.attributes.width = string.format("%.0f%%", 100 * math.min(widest, shape * highest / ROOM))
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

-- A line between a heading and a figure goes with both to where the figure has room, and a line of provenance is part of
-- the table above it, which may break across pages.
local function together(blocks)
  for number = #blocks - 1, 1, -1 do
    local block, before, after = blocks[number], blocks[number - 1], blocks[number + 1]
    local short = block.t == "Para" and #pandoc.utils.stringify(block) < 400
    local floats = after.t == "Div" and after.attributes["__quarto_custom_type"] == "FloatRefTarget"
    if short and before and before.t == "Header" and floats then
      blocks:insert(number + 1, typst("]"))
      blocks:insert(number, typst("#block(sticky: true)["))
    elseif block.t == "Div" and after.t == "Div" and after.classes:includes("provenance") then
      for _, part in ipairs(block.content) do
        if part.t == "Div" and part.content:find_if(function(inner) return inner.t == "Table" end) then
          part.content:extend(quiet(blocks:remove(number + 1)))
          break
        end
      end
    end
  end
  return blocks
end

-- A chapter of the HTML that is short in print is a section of the chapter before it there, and its sections are deeper;
-- one that the HTML alone has is left out.
local deeper = 0
local function section(header)
  if header.classes:includes("html-only") then return {} end
  if header.level == 1 then deeper = header.classes:includes("section-in-print") and 1 or 0 end
  header.level = header.level + deeper
  return header
end

return { { Header = section, Table = fit }, { Blocks = together }, { Div = quiet, Span = interval, Image = smaller } }
