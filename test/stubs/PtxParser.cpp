#include "test/stubs/Ptx.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace titan::stub {

int bytesOf(PtxType type) {
  switch (type) {
  case PtxType::b8:
  case PtxType::u8:
  case PtxType::s8:
  case PtxType::pred:
    return 1;
  case PtxType::b16:
  case PtxType::u16:
  case PtxType::s16:
  case PtxType::f16:
  case PtxType::bf16:
    return 2;
  case PtxType::b64:
  case PtxType::u64:
  case PtxType::s64:
  case PtxType::f64:
    return 8;
  default:
    return 4;
  }
}

namespace {

const std::map<std::string, PtxType> kTypes = {
    {"b8", PtxType::b8},   {"b16", PtxType::b16},       {"b32", PtxType::b32},
    {"b64", PtxType::b64}, {"u8", PtxType::u8},         {"u16", PtxType::u16},
    {"u32", PtxType::u32}, {"u64", PtxType::u64},       {"s8", PtxType::s8},
    {"s16", PtxType::s16}, {"s32", PtxType::s32},       {"s64", PtxType::s64},
    {"f16", PtxType::f16}, {"bf16", PtxType::bf16},     {"f32", PtxType::f32},
    {"f64", PtxType::f64}, {"bf16x2", PtxType::bf16x2}, {"pred", PtxType::pred}};

const std::map<std::string, PtxOp> kOps = {
    {"mov", PtxOp::mov},         {"ld", PtxOp::load},         {"st", PtxOp::store},
    {"add", PtxOp::add},         {"sub", PtxOp::sub},         {"mul", PtxOp::mul},
    {"mad", PtxOp::mad},         {"fma", PtxOp::fma},         {"div", PtxOp::div},
    {"rem", PtxOp::rem},         {"min", PtxOp::min},         {"max", PtxOp::max},
    {"neg", PtxOp::neg},         {"abs", PtxOp::abs},         {"rcp", PtxOp::rcp},
    {"sqrt", PtxOp::sqrt},       {"rsqrt", PtxOp::rsqrt},     {"ex2", PtxOp::ex2},
    {"lg2", PtxOp::lg2},         {"setp", PtxOp::setp},       {"selp", PtxOp::selp},
    {"and", PtxOp::bitAnd},      {"or", PtxOp::bitOr},        {"xor", PtxOp::bitXor},
    {"not", PtxOp::bitNot},      {"shl", PtxOp::shl},         {"shr", PtxOp::shr},
    {"prmt", PtxOp::prmt},       {"bfe", PtxOp::extract},     {"cvt", PtxOp::convert},
    {"cvta", PtxOp::mov},        {"bra", PtxOp::branch},      {"brx", PtxOp::branchIndexed},
    {"ret", PtxOp::exit},        {"exit", PtxOp::exit},       {"bar", PtxOp::barrier},
    {"barrier", PtxOp::barrier}, {"shfl", PtxOp::shuffleXor}, {"ldmatrix", PtxOp::loadMatrix},
    {"mma", PtxOp::mma}};

const char *kSpecial[] = {"%tid.x",    "%tid.y",    "%tid.z",   "%ntid.x",  "%ntid.y",
                          "%ntid.z",   "%ctaid.x",  "%ctaid.y", "%ctaid.z", "%nctaid.x",
                          "%nctaid.y", "%nctaid.z", "%laneid"};

std::vector<std::string> splitAt(const std::string &text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);)
    parts.push_back(part);
  return parts;
}

std::string trim(const std::string &text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos)
    return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// "a, {b, c}, [d+4]" -> "a", "{b, c}", "[d+4]"
std::vector<std::string> splitOperands(const std::string &text) {
  std::vector<std::string> parts;
  int depth = 0;
  std::string part;
  for (const char c : text) {
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    if (c == ',' && depth == 0) {
      parts.push_back(trim(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (!trim(part).empty())
    parts.push_back(trim(part));
  return parts;
}

class Parser {
public:
  explicit Parser(const std::string &text) : text(text) {}

  PtxModule parse();

private:
  struct Variable {
    uint64_t offset;
    PtxSpace space;
  };

  [[noreturn]] void fail(const std::string &why) const {
    throw std::runtime_error("line " + std::to_string(line) + ": " + why + ": " + statement);
  }
  void parseStatement();
  void parseEntry();
  void parseParameters(const std::string &list);
  void declare(const std::string &declaration);
  void instruction(std::string body);
  void modifiers(PtxInstruction &it, const std::vector<std::string> &words);
  void destinations(PtxInstruction &it, const std::string &operand);
  void finishMatrix(PtxInstruction &it, const std::vector<std::string> &operands);
  PtxOperand operand(const std::string &name);
  void address(std::string name, PtxInstruction &it);
  uint32_t registerOf(const std::string &name);
  std::vector<std::string> listOf(const std::string &braces) const;
  void endFunction();
  bool parseTargets();

  const std::string &text;
  PtxModule module;
  PtxFunction *function = nullptr;
  std::map<std::string, uint32_t> registers, labels;
  std::map<std::string, Variable> variables, moduleVariables;
  std::vector<std::pair<size_t, std::string>> branches, indexedBranches;
  std::map<std::string, std::vector<std::string>> targetLists;
  std::vector<std::string> *openList = nullptr; ///< whose end has not been read yet
  uint32_t moduleShared = 0;
  std::string statement;
  uint32_t line = 0;
};

uint32_t Parser::registerOf(const std::string &name) {
  if (name.empty() || name[0] != '%')
    fail("no register '" + name + "'");
  return registers.emplace(name, static_cast<uint32_t>(registers.size())).first->second;
}

PtxOperand Parser::operand(const std::string &name) {
  PtxOperand result;
  for (uint32_t i = 0; i < std::size(kSpecial); ++i)
    if (name == kSpecial[i]) {
      result.kind = PtxOperand::Kind::special;
      result.reg = i;
      return result;
    }
  if (name[0] == '%') {
    result.kind = PtxOperand::Kind::reg;
    result.reg = registerOf(name);
    return result;
  }
  result.kind = PtxOperand::Kind::immediate;
  if (const auto it = variables.find(name); it != variables.end())
    result.immediate = it->second.offset;
  else if (name.starts_with("0f") || name.starts_with("0F") || name.starts_with("0d") ||
           name.starts_with("0x"))
    result.immediate = std::stoull(name.substr(2), nullptr, 16);
  else if (name[0] == '-' || std::isdigit(static_cast<unsigned char>(name[0])))
    result.immediate = name[0] == '-' ? static_cast<uint64_t>(std::stoll(name)) : std::stoull(name);
  else if (name == "true" || name == "false")
    result.immediate = name == "true";
  else
    fail("unknown operand '" + name + "'");
  return result;
}

/// "[%rd1+16]", "[name+4]", "[%rd1]"
void Parser::address(std::string name, PtxInstruction &it) {
  if (name.size() < 2 || name.front() != '[' || name.back() != ']')
    fail("no address '" + name + "'");
  name = name.substr(1, name.size() - 2);
  uint64_t offset = 0;
  if (const size_t plus = name.find('+'); plus != std::string::npos) {
    offset = static_cast<uint64_t>(std::stoll(name.substr(plus + 1)));
    name = name.substr(0, plus);
  }
  PtxOperand result = operand(trim(name));
  result.immediate += offset;
  if (result.kind == PtxOperand::Kind::special)
    fail("a special register as address");
  it.operands.push_back(result);
}

std::vector<std::string> Parser::listOf(const std::string &braces) const {
  std::vector<std::string> names;
  for (const std::string &name : splitAt(braces.substr(1, braces.size() - 2), ','))
    names.push_back(trim(name));
  return names;
}

void Parser::destinations(PtxInstruction &it, const std::string &name) {
  if (name[0] == '{') {
    for (const std::string &part : listOf(name)) {
      PtxOperand to;
      if (part != "_") {
        to.kind = PtxOperand::Kind::reg;
        to.reg = registerOf(part);
      }
      it.to.push_back(to);
    }
    return;
  }
  // "%r1|%p1": whether a shuffle's source exists, which nobody here asks for.
  PtxOperand to;
  to.kind = PtxOperand::Kind::reg;
  to.reg = registerOf(trim(name.substr(0, name.find('|'))));
  it.to.push_back(to);
}

void Parser::modifiers(PtxInstruction &it, const std::vector<std::string> &words) {
  static const std::map<std::string, PtxCompare> compares = {
      {"eq", PtxCompare::eq}, {"ne", PtxCompare::ne},   {"lt", PtxCompare::lt},
      {"le", PtxCompare::le}, {"gt", PtxCompare::gt},   {"ge", PtxCompare::ge},
      {"lo", PtxCompare::lt}, {"ls", PtxCompare::le},   {"hi", PtxCompare::gt},
      {"hs", PtxCompare::ge}, {"nan", PtxCompare::nan}, {"num", PtxCompare::num}};
  static const std::map<std::string, PtxSpace> spaces = {{"param", PtxSpace::param},
                                                         {"global", PtxSpace::global},
                                                         {"shared", PtxSpace::shared},
                                                         {"local", PtxSpace::local}};
  static const char *ignored[] = {"rn",  "approx", "full",     "ftz",     "uni", "sync", "lo",
                                  "to",  "nc",     "align",    "aligned", "sat", "warp", "noftz",
                                  "row", "col",    "m16n8k16", "m8n8",    "idx"};
  bool hasType = false, hasSpace = false;
  for (size_t i = 1; i < words.size(); ++i) {
    std::string word = words[i];
    if (const auto type = kTypes.find(word); type != kTypes.end()) {
      (hasType ? it.from : it.type) = type->second;
      if (!hasType)
        it.from = it.type;
      hasType = true;
    } else if (const auto space = spaces.find(word); space != spaces.end()) {
      it.space = space->second;
      hasSpace = true;
    } else if (it.op == PtxOp::setp && word.size() == 3 && word[2] == 'u' &&
               compares.contains(word.substr(0, 2))) {
      it.compare = compares.at(word.substr(0, 2));
      it.unordered = true;
    } else if (it.op == PtxOp::setp && compares.contains(word)) {
      it.compare = compares.at(word);
    } else if (word == "v2" || word == "v4" || word == "v8" || word == "x2" || word == "x4" ||
               word == "x1") {
      it.lanes = static_cast<uint8_t>(word[1] - '0');
    } else if (word == "wide") {
      it.op = it.op == PtxOp::mad ? PtxOp::madWide : PtxOp::mulWide;
    } else if (word == "hi" && it.op == PtxOp::mul) {
      it.op = PtxOp::mulHigh;
    } else if (word == "rzi" || word == "rni") {
      it.toInteger = true;
      it.towardsZero = word == "rzi";
    } else if (word == "NaN") {
      it.keepsNan = true;
    } else if (word == "trans") {
      it.transposed = true;
    } else if (it.op == PtxOp::shuffleXor && (word == "bfly" || word == "idx")) {
      it.op = word == "idx" ? PtxOp::shuffleIndex : PtxOp::shuffleXor;
    } else if (std::find(std::begin(ignored), std::end(ignored), word) == std::end(ignored)) {
      fail("unknown modifier '" + word + "'");
    }
  }
  if ((it.op == PtxOp::load || it.op == PtxOp::store) && !hasSpace)
    fail("an access that names no memory");
  if (words[0] == "bar" && words.size() > 1 && words[1] == "warp")
    it.op = PtxOp::warpSync;
}

void Parser::finishMatrix(PtxInstruction &it, const std::vector<std::string> &operands) {
  for (size_t i = 1; i < operands.size(); ++i)
    for (const std::string &name : listOf(operands[i]))
      it.operands.push_back(operand(name));
}

void Parser::instruction(std::string body) {
  PtxInstruction it;
  it.line = line;
  if (body[0] == '@') {
    it.predicateNegated = body[1] == '!';
    const size_t end = body.find_first_of(" \t");
    it.predicate = static_cast<int32_t>(
        registerOf(body.substr(it.predicateNegated ? 2 : 1, end - (it.predicateNegated ? 2 : 1))));
    body = trim(body.substr(end));
  }
  const size_t end = body.find_first_of(" \t");
  const std::vector<std::string> words = splitAt(body.substr(0, end), '.');
  const auto op = kOps.find(words[0]);
  if (op == kOps.end())
    fail("unknown instruction");
  it.op = op->second;
  modifiers(it, words);
  const std::vector<std::string> operands =
      end == std::string::npos ? std::vector<std::string>{} : splitOperands(body.substr(end));
  switch (it.op) {
  case PtxOp::branch:
    branches.emplace_back(function->code.size(), operands.at(0));
    break;
  case PtxOp::branchIndexed:
    it.operands.push_back(operand(operands.at(0)));
    indexedBranches.emplace_back(function->code.size(), operands.at(1));
    break;
  case PtxOp::exit:
  case PtxOp::barrier:
  case PtxOp::warpSync:
    break;
  case PtxOp::store:
    address(operands.at(0), it);
    for (const std::string &name :
         operands.at(1)[0] == '{' ? listOf(operands[1]) : std::vector<std::string>{operands[1]})
      it.operands.push_back(operand(name));
    break;
  case PtxOp::load:
  case PtxOp::loadMatrix:
    destinations(it, operands.at(0));
    address(operands.at(1), it);
    break;
  case PtxOp::mma:
    destinations(it, operands.at(0));
    finishMatrix(it, operands);
    break;
  default:
    destinations(it, operands.at(0));
    for (size_t i = 1; i < operands.size(); ++i) {
      const bool isList = operands[i][0] == '{';
      for (const std::string &name :
           isList ? listOf(operands[i]) : std::vector<std::string>{operands[i]})
        it.operands.push_back(operand(name));
      if (isList)
        it.op = PtxOp::pack;
    }
    if (it.op == PtxOp::mov && it.to.size() > 1)
      it.op = PtxOp::unpack;
  }
  function->code.push_back(std::move(it));
}

/// ".shared .align 4 .b8 name[1024]", ".local .align 8 .b8 name[16]", ".reg .b32 %r<14>"
void Parser::declare(const std::string &declaration) {
  if (declaration.starts_with(".reg"))
    return;
  const bool isShared = declaration.find(".shared") != std::string::npos;
  if (!isShared && declaration.find(".local") == std::string::npos)
    fail("a declaration that is neither of registers nor of shared or local memory");
  uint64_t alignment = 1, bytes = 1;
  std::string name;
  std::istringstream words(declaration);
  for (std::string word; words >> word;) {
    if (word == ".align")
      words >> alignment;
    else if (word[0] != '.')
      name = word;
  }
  if (const size_t bracket = name.find('['); bracket != std::string::npos) {
    const std::string count = name.substr(bracket + 1, name.find(']') - bracket - 1);
    bytes = count.empty() ? 0 : std::stoull(count);
    name = name.substr(0, bracket);
  }
  uint32_t &used = !isShared  ? function->localBytes
                   : function ? function->sharedBytes
                              : moduleShared;
  used = static_cast<uint32_t>((used + alignment - 1) / alignment * alignment);
  (function ? variables : moduleVariables)[name] = {used,
                                                    isShared ? PtxSpace::shared : PtxSpace::local};
  used += static_cast<uint32_t>(bytes);
}

/// ".param .align 8 .b8 name[16]", ".param .u64 .ptr .align 1 name"
void Parser::parseParameters(const std::string &list) {
  for (const std::string &parameter : splitOperands(list)) {
    uint32_t alignment = 1, bytes = 0;
    std::string name;
    std::istringstream words(parameter);
    for (std::string word; words >> word;) {
      if (word == ".align") {
        words >> alignment;
      } else if (word[0] == '.' && kTypes.contains(word.substr(1))) {
        bytes = static_cast<uint32_t>(bytesOf(kTypes.at(word.substr(1))));
      } else if (word[0] != '.') {
        name = word;
      }
    }
    if (const size_t bracket = name.find('['); bracket != std::string::npos) {
      bytes =
          static_cast<uint32_t>(std::stoul(name.substr(bracket + 1, name.find(']') - bracket - 1)));
      name = name.substr(0, bracket);
    } else {
      alignment = bytes; // of a pointer, .align is of what it points to
    }
    uint32_t &used = function->parameterBytes;
    used = (used + alignment - 1) / alignment * alignment;
    function->parameters.push_back({used, bytes});
    variables[name] = {used, PtxSpace::param};
    used += bytes;
  }
}

void Parser::endFunction() {
  auto find = [&](const std::string &label) {
    if (!labels.contains(label))
      fail("no label '" + label + "'");
    return labels[label];
  };
  for (const auto &[index, label] : branches)
    function->code[index].target = find(label);
  for (const auto &[index, list] : indexedBranches)
    for (const std::string &label : targetLists[list])
      function->code[index].targets.push_back(find(label));
  function->registers = static_cast<uint32_t>(registers.size());
  function->code.emplace_back(); // what runs off the end
  function = nullptr;
  registers.clear();
  labels.clear();
  branches.clear();
  indexedBranches.clear();
  targetLists.clear();
}

/// "$L_brx_0: .branchtargets", then labels with commas up to a semicolon: whether it is of these.
bool Parser::parseTargets() {
  if (statement.ends_with(": .branchtargets")) {
    openList = &targetLists[statement.substr(0, statement.find(':'))];
    return true;
  }
  if (!openList)
    return false;
  openList->push_back(statement.substr(0, statement.size() - 1));
  if (statement.back() == ';')
    openList = nullptr;
  return true;
}

PtxModule Parser::parse() {
  std::istringstream lines(text.substr(0, std::min(text.find('\0'), text.size())));
  std::string header; // of an entry, up to its brace
  bool isHeader = false;
  for (std::string full; std::getline(lines, full);) {
    ++line;
    statement = trim(full.substr(0, full.find("//")));
    if (statement.empty())
      continue;
    if (!function && !isHeader) {
      if (statement.find(".entry") != std::string::npos) {
        isHeader = true;
        header.clear();
      } else if (statement.starts_with(".shared")) {
        declare(statement.substr(0, statement.find(';')));
        continue;
      } else if (statement.starts_with(".extern .shared")) {
        continue;
      } else if (statement.starts_with(".version") || statement.starts_with(".target") ||
                 statement.starts_with(".address_size")) {
        continue;
      } else {
        fail("unknown declaration");
      }
    }
    if (isHeader) {
      header += statement + " ";
      if (statement.back() != '{' && statement != "{")
        continue;
      const size_t open = header.find('('), close = header.rfind(')');
      const std::string name =
          trim(header.substr(header.find(".entry") + 6, open - header.find(".entry") - 6));
      function = &module[name];
      function->sharedBytes = moduleShared;
      variables = moduleVariables;
      parseParameters(header.substr(open + 1, close - open - 1));
      isHeader = false;
      continue;
    }
    if (parseTargets())
      continue;
    if (statement == "}") {
      endFunction();
    } else if (statement.back() == ':') {
      labels[statement.substr(0, statement.size() - 1)] =
          static_cast<uint32_t>(function->code.size());
    } else if (statement[0] == '.') {
      if (!statement.starts_with(".pragma"))
        declare(statement.substr(0, statement.find(';')));
    } else if (statement.back() == ';') {
      instruction(trim(statement.substr(0, statement.size() - 1)));
    } else if (statement != "{") {
      fail("unknown statement");
    }
  }
  if (module.empty())
    throw std::runtime_error("the text has no kernels");
  return std::move(module);
}

} // namespace

PtxModule parsePtx(const std::string &text) { return Parser(text).parse(); }

} // namespace titan::stub
